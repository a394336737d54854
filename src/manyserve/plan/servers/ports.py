"""Ports of the server's container. Users may name the HTTP port, and repeat the ports for gRPC and metrics.

KServe's users name a port for gRPC `h2c`. The name decides the role of a port. Any other name leaves it to the number,
if the host has further ports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import GRPC_PORT, HTTP_PORT, METRICS_PORT

Role = Literal["http", "grpc", "metrics"]

OURS: Mapping[Role, int] = {"grpc": GRPC_PORT, "metrics": METRICS_PORT}
"""Ports with a fixed number, by role, which is also their name in the container."""


def port_roles(host: InferenceService) -> list[Role]:
    """Return the role of each port of the user."""
    ports = host.spec.predictor.server.ports or ()
    return [_role(port, ports) for port in ports]


def http_port(host: InferenceService) -> int:
    """Return the server's HTTP port: the user's, else the default."""
    ports = host.spec.predictor.server.ports or ()
    given = (port.get("containerPort") for port, role in zip(ports, port_roles(host), strict=True) if role == "http")
    return next((number for number in given if isinstance(number, int)), HTTP_PORT)


def _role(port: Mapping[str, Any], ports: Sequence[Mapping[str, Any]]) -> Role:
    name, number = str(port.get("name") or ""), port.get("containerPort")
    if name.startswith(("h2c", "grpc")):
        return "grpc"
    if "metrics" in name:
        return "metrics"
    if name.startswith("http") or len(ports) == 1:
        return "http"
    return next((role for role, ours in OURS.items() if ours == number), "http")
