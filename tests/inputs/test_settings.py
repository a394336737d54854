"""Input 31: wrong settings of the programs operator, webhook and agent.

The program ends at once with exit code 2, and with one line about the setting instead of a traceback.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from localcluster.pki import folder_of
from tests.support.programs import free_port, manyserve

WEBHOOK = {"POD_NAMESPACE": "default", "MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER": "/"}
PROGRAMS = [pytest.param("operator", {}, id="operator"), pytest.param("webhook", WEBHOOK, id="webhook")]
NO_ACCESS = "no access to a cluster: not in a pod, and the kubeconfig"
GROUPS = "must be one of serving.kserve.io, serving.manyserve.io"
LEVELS = "must be one of DEBUG, INFO, WARNING, ERROR"


def line_of(*words: str, **env: str) -> str:
    """Run a program that cannot start, and return its one line of output."""
    done = manyserve(*words, **env)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("manyserve: ")
    return line.removeprefix("manyserve: ")


def is_port_in_use_error(line: str, port: int) -> bool:
    """Return whether a line names the address and the reason."""
    return line == f"cannot bind 0.0.0.0:{port}: address already in use"


@contextmanager
def occupied_port() -> Iterator[int]:
    """Bind a port, as another program would."""
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        yield int(other.getsockname()[1])


def kubeconfig(folder: Path, text: str) -> dict[str, str]:
    path = folder / "kubeconfig"
    path.write_text(text)
    return {"KUBECONFIG": str(path)}


@pytest.fixture
def agent(tmp_path: Path) -> dict[str, str]:
    """Return the settings of an agent that would start."""
    return {
        "MANYSERVE_STORE_DIR": str(tmp_path / "store"),
        "MANYSERVE_CONFIG_FILE": str(tmp_path / "models.json"),
        "MANYSERVE_AGENT_PORT": str(free_port()),
    }


@pytest.mark.parametrize("program", ["operator", "webhook", "agent"])
def test_input_31_unknown_log_level_is_reported(program: str) -> None:
    line = line_of(program, MANYSERVE_LOG_LEVEL="loud", **WEBHOOK)
    assert line == f"MANYSERVE_LOG_LEVEL='loud' is not valid: it {LEVELS}"


@pytest.mark.parametrize(
    ("program", "variable"),
    [("operator", "MANYSERVE_HEALTH_PORT"), ("webhook", "MANYSERVE_WEBHOOK_PORT"), ("agent", "MANYSERVE_AGENT_PORT")],
)
def test_input_31_all_wrong_settings_are_reported_on_one_line(program: str, variable: str) -> None:
    env = WEBHOOK | {"MANYSERVE_LOG_LEVEL": "loud", variable: "http"}
    assert set(line_of(program, **env).split("; ")) == {
        f"MANYSERVE_LOG_LEVEL='loud' is not valid: it {LEVELS}",
        f"{variable}='http' is not valid: it must be a port, 1 to 65535",
    }


@pytest.mark.parametrize("program", ["operator", "webhook"])
def test_input_31_unknown_api_group_is_reported(program: str) -> None:
    line = line_of(program, MANYSERVE_API_GROUP="kserve.io", **WEBHOOK)
    assert line == f"MANYSERVE_API_GROUP='kserve.io' is not valid: it {GROUPS}"


@pytest.mark.parametrize(("program", "env"), PROGRAMS)
def test_input_31_missing_kubeconfig_is_reported(program: str, env: dict[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "absent")
    line = line_of(program, KUBECONFIG=path, **env)
    assert line == f"{NO_ACCESS} {path} cannot be used: Invalid kube-config file. No configuration found."


@pytest.mark.parametrize("text", ["{: [", ""])
def test_input_31_malformed_kubeconfig_is_reported(text: str, tmp_path: Path) -> None:
    env = kubeconfig(tmp_path, text)
    assert line_of("operator", **env).startswith(f"{NO_ACCESS} {env['KUBECONFIG']} cannot be used: ")


@pytest.mark.parametrize(
    ("program", "env", "line"),
    [
        ("operator", {}, "the API server does not answer as it should: GET /apis/serving.kserve.io/v1beta1"),
        ("webhook", WEBHOOK, "the API server cannot be reached: GET /version"),
    ],
    ids=["operator", "webhook"],
)
def test_input_31_unreachable_api_server_is_reported(
    program: str, env: dict[str, str], line: str, tmp_path: Path
) -> None:
    port = free_port()
    cluster = f"clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]"
    user = "users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]"
    env = env | kubeconfig(tmp_path, f"apiVersion: v1\nkind: Config\ncurrent-context: c\n{cluster}\n{user}\n")
    message = line_of(program, **env)
    assert message.startswith(f"{line} had no response: ClientConnectorError: Cannot connect to host 127.0.0.1:{port} ")


@pytest.mark.parametrize("setting", ["MANYSERVE_HEALTH_PORT", "MANYSERVE_METRICS_PORT"])
def test_input_31_port_in_use_is_reported_by_operator(setting: str, api_server: Cluster) -> None:
    ports = {name: str(free_port()) for name in ("MANYSERVE_HEALTH_PORT", "MANYSERVE_METRICS_PORT")}
    with occupied_port() as port:
        env = ports | {setting: str(port), "KUBECONFIG": str(api_server.kubeconfig)}
        assert is_port_in_use_error(line_of("operator", **env), port)


def test_input_31_port_in_use_is_reported_by_webhook(api_server: Cluster, tmp_path: Path) -> None:
    keys = folder_of(api_server)
    for name in ("crt", "key"):
        (tmp_path / f"tls.{name}").write_bytes((keys / f"apiserver.{name}").read_bytes())
    env = {"POD_NAMESPACE": "default", "KUBECONFIG": str(api_server.kubeconfig)}
    env |= {"MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER": str(tmp_path), "MANYSERVE_METRICS_PORT": str(free_port())}
    env |= {"MANYSERVE_WEBHOOK_SERVICE": "kubernetes"}  # the certificate is for this name
    with occupied_port() as port:
        assert is_port_in_use_error(line_of("webhook", MANYSERVE_WEBHOOK_PORT=str(port), **env), port)


def test_input_31_missing_or_empty_certificate_folder_is_reported(api_server: Cluster, tmp_path: Path) -> None:
    folder = "MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER"
    env = WEBHOOK | {"KUBECONFIG": str(api_server.kubeconfig)}
    assert (
        line_of("webhook", **env | {folder: "/absent"})
        == f"{folder}='/absent' is not valid: it must be a folder that exists"
    )
    line = line_of("webhook", **env | {folder: str(tmp_path)})
    assert f"No such file or directory: '{tmp_path}/tls.crt'" in line


def test_input_31_port_in_use_is_reported_by_agent(agent: dict[str, str]) -> None:
    with occupied_port() as port:
        assert is_port_in_use_error(line_of("agent", **agent | {"MANYSERVE_AGENT_PORT": str(port)}), port)


def test_input_31_unusable_volume_is_reported_by_agent(agent: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    line = line_of("agent", **agent | {"MANYSERVE_STORE_DIR": str(tmp_path / "file")})
    assert line == f"MANYSERVE_STORE_DIR cannot be used: [Errno 20] Not a directory: '{tmp_path}/file/models'"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("MANYSERVE_AGENT_PORT", "99999", "must be a port, 1 to 65535"),
        ("MANYSERVE_SERVER_DIALECT", "v3", "must be one of v2, mlserver, v1"),
    ],
)
def test_input_31_wrong_setting_is_reported_by_agent(
    name: str, value: str, allowed: str, agent: dict[str, str]
) -> None:
    assert line_of("agent", **agent | {name: value}) == f"{name}={value!r} is not valid: it {allowed}"
