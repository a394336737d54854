"""Probes of the server: the user's fields over those of the launch."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.pod import ContainerFields
from manyserve.plan.children.probes import build_probes
from manyserve.plan.children.server_container import build_server
from manyserve.plan.servers.launch import LaunchSpec
from tests.support import make

OURS = {
    "httpGet": {"path": "/v2/health/live", "port": "http"},
    "periodSeconds": 10,
    "timeoutSeconds": 5,
    "failureThreshold": 6,
}


def liveness(**probe: Any) -> dict[str, Any]:
    server = ContainerFields.from_wire({"livenessProbe": probe})
    built: dict[str, Any] = build_probes(LaunchSpec(), server)["livenessProbe"]
    return built


@pytest.mark.parametrize(
    ("user", "difference"),
    [
        ({}, {}),
        ({"initialDelaySeconds": 120, "periodSeconds": 30}, {"initialDelaySeconds": 120, "periodSeconds": 30}),
        ({"timeoutSeconds": None}, {}),
        ({"httpGet": {"path": "/mine"}}, {"httpGet": {"path": "/mine", "port": "http"}}),
        ({"httpGet": {"path": "/mine", "port": 8080}}, {"httpGet": {"path": "/mine", "port": 8080}}),
    ],
)
def test_probe_of_the_user_is_laid_over_ours(user: dict[str, Any], difference: dict[str, Any]) -> None:
    assert liveness(**user) == OURS | difference


@pytest.mark.parametrize("handler", [{"exec": {"command": ["a"]}}, {"tcpSocket": {"port": 1}}, {"grpc": {"port": 1}}])
def test_handler_of_the_user_replaces_ours(handler: dict[str, Any]) -> None:
    timings = {name: value for name, value in OURS.items() if name != "httpGet"}
    assert liveness(**handler) == timings | handler


@pytest.mark.usefixtures("both_forms")
def test_server_has_partial_probes_of_the_user() -> None:
    host = make.host(triton={"livenessProbe": {"failureThreshold": 10}, "readinessProbe": {"timeoutSeconds": 5}})
    server = build_server(host, make.config())
    assert server["livenessProbe"] == OURS | {"failureThreshold": 10}
    assert server["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": "http"}
    assert server["startupProbe"]["failureThreshold"] == 600
