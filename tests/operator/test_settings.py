"""Startup errors: wrong settings, ports in use, no cluster, no CRDs. Each is one line with exit code 2."""

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
from manyserve.operator.main import check
from manyserve.operator.settings import OperatorSettings
from tests.support.fake_api import FakeApi, served
from tests.support.programs import manyserve

ROOT = Path(__file__).parents[2]


def test_settings_have_the_defaults_of_the_chart() -> None:
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
def test_settings_error_names_the_variable(name: str, value: str, sentence: str) -> None:
    with pytest.raises(StartupError, match=f"^{name}='{value}' is not valid: it {sentence}"):
        OperatorSettings.from_env({name: value})


async def test_health_server_names_a_port_in_use() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        port = listener.getsockname()[1]
        server = HealthServer(lambda: None, lambda: None)
        with pytest.raises(StartupError, match=f"^cannot bind 0.0.0.0:{port}: address already in use$"):
            await server.start(port, port)
        await server.stop()


async def test_preflight_error_has_the_command_that_installs_the_crds() -> None:
    server = FakeApi()
    server.answers.append((404, {}, {"message": "the server could not find the requested resource"}))
    async with served(server) as client:
        command = r"manyserve crds --group serving\.kserve\.io \| kubectl apply"
        with pytest.raises(StartupError, match=rf"^inferenceservices.serving.kserve.io is not installed .* {command}"):
            await check(client)


async def test_preflight_error_has_the_message_of_the_api_server() -> None:
    server = FakeApi()
    server.answers.append((500, {}, {"message": "etcd is unwell"}))
    async with served(server) as client:
        with pytest.raises(StartupError, match="etcd is unwell"):
            await check(client)


def test_command_line_prints_a_startup_error_on_one_line() -> None:
    process = manyserve("operator", MANYSERVE_LOG_LEVEL="loud")
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.splitlines() == [
        "manyserve: MANYSERVE_LOG_LEVEL='loud' is not valid: it must be one of DEBUG, INFO, WARNING, ERROR"
    ]


def test_command_line_prints_an_unreachable_api_server_on_one_line(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    process = manyserve("operator", KUBECONFIG=str(config))
    assert process.returncode == 2
    [line] = process.stderr.splitlines()
    assert line.startswith("manyserve: the API server does not answer as it should")


def test_agent_does_not_import_packages_of_the_operator() -> None:
    program = (
        "import sys; from manyserve import cli; import manyserve.agent.main; "
        "print(*({'kopf', 'kubernetes', 'manyserve.operator', 'manyserve.plan'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == ""
