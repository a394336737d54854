"""Wrong settings, ports in use, no cluster, no CRDs: one line each, exit code 2, no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from manyserve.api.errors import StartupError
from manyserve.api.scope import EVERYWHERE
from manyserve.operator.health import HealthServer
from manyserve.operator.preflight import check
from manyserve.operator.settings import OperatorSettings
from tests.support.fake_api import FakeApi, served
from tests.support.programs import manyserve

ROOT = Path(__file__).parents[2]


def test_the_defaults_are_those_of_the_chart() -> None:
    settings = OperatorSettings.from_env({})
    assert (settings.namespace, settings.health_port, settings.metrics_port) == ("manyserve-system", 8090, 9090)
    assert settings.scope == EVERYWHERE
    assert (settings.leader_election, settings.lease) == (True, "manyserve-operator")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("MANYSERVE_HEALTH_PORT", "0", "must be a port"),
        ("MANYSERVE_METRICS_PORT", "99999", "must be a port"),
        ("MANYSERVE_AGENT_PORT", "http", "must be a port"),
        ("MANYSERVE_LEADER_ELECTION", "perhaps", "must be true or false"),
        ("MANYSERVE_LOG_LEVEL", "loud", "must be one of DEBUG"),
        ("MANYSERVE_WATCH_NAMESPACES", "team-a,,b", "must be names of namespaces"),
        ("MANYSERVE_NAMESPACE_SELECTOR", "team=a", "must be a label selector as JSON"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, sentence: str) -> None:
    with pytest.raises(StartupError, match=f"^{name}='{value}' is not valid: it {sentence}"):
        OperatorSettings.from_env({name: value})


async def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = HealthServer(lambda: None, lambda: None)
        with pytest.raises(StartupError, match=f"^cannot bind 0.0.0.0:{port}: address already in use$"):
            await server.start(port, port)
        await server.stop()


async def test_without_the_crds_the_command_that_installs_them_is_said() -> None:
    server = FakeApi()
    server.answers.append((404, {}, {"message": "the server could not find the requested resource"}))
    async with served(server) as client:
        command = r"manyserve crds --group serving\.kserve\.io \| kubectl apply"
        with pytest.raises(StartupError, match=rf"^inferenceservices.serving.kserve.io is not installed .* {command}"):
            await check(client)


async def test_without_an_api_server_that_is_said() -> None:
    server = FakeApi()
    server.answers.append((500, {}, {"message": "etcd is unwell"}))
    async with served(server) as client:
        with pytest.raises(StartupError, match="etcd is unwell"):
            await check(client)


def test_the_command_line_turns_it_into_one_line_and_exit_code_2() -> None:
    done = manyserve("operator", MANYSERVE_LOG_LEVEL="loud")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "manyserve: MANYSERVE_LOG_LEVEL='loud' is not valid: it must be one of DEBUG, INFO, WARNING, ERROR"
    ]


def test_an_unreachable_api_server_is_one_line_too(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    done = manyserve("operator", KUBECONFIG=str(config))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("manyserve: the API server does not answer as it should")


def test_an_agent_does_not_import_what_only_the_operator_needs() -> None:
    program = (
        "import sys; from manyserve import cli; import manyserve.agent.main; "
        "print(*({'kopf', 'kubernetes', 'manyserve.operator', 'manyserve.plan'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
