"""Rules for ports and environment of the server, and for resources of all containers.

`rules.arguments` has the rules for arguments.
Without these rules such mistakes appear later, as pods that Kubernetes refuses or as a server that the agent cannot
reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.pod import Resources
from manyserve.api.quantity import QUANTITY_SENTENCE, Memory, parse_memory, parse_quantity
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.rules.paths import server_path
from manyserve.plan.rules.pod.resources import all_resources
from manyserve.plan.servers.flags import HTTP_PORT_VALUE
from manyserve.plan.servers.ports import OURS, Role, http_port, port_roles
from manyserve.plan.servers.registry import server_kind

Rule = Callable[[InferenceService], Iterator[FieldError]]

_ROLE_NAMES = {"grpc": "gRPC", "metrics": "the server's metrics"}


def resources_are_quantities(host: InferenceService) -> Iterator[FieldError]:
    """Require quantities that are not negative, and memory in whole bytes."""
    for path, resources in all_resources(host):
        for part, values in (("limits", resources.limits or {}), ("requests", resources.requests or {})):
            for name, value in values.items():
                field = f"{path}.{part}.{quoted(name).strip(chr(39))}"
                if _number(value) is None:
                    yield FieldError(field, f"{quoted(value)} is not a quantity; it {QUANTITY_SENTENCE}")
                elif name == "memory" and path == f"{server_path(host)}.resources":
                    yield from _memory(field, value)


def requests_stay_below_limits(host: InferenceService) -> Iterator[FieldError]:
    """Refuse a request above its limit, as Kubernetes would refuse every pod of the host."""
    for path, resources in all_resources(host):
        yield from _above_limits(path, resources)


def _above_limits(path: str, resources: Resources) -> Iterator[FieldError]:
    limits = resources.limits or {}
    for name, value in (resources.requests or {}).items():
        most, wanted = _number(limits.get(name)), _number(value)
        if most is not None and wanted is not None and wanted > most:
            field = f"{path}.requests.{quoted(name).strip(chr(39))}"
            yield FieldError(
                field, f"{quoted(value)} is more than the limit; it must be at most {quoted(limits[name])}"
            )


def ports_have_one_role(host: InferenceService) -> Iterator[FieldError]:
    """Require at most one port for HTTP. The ports for gRPC and metrics are fixed and may be repeated."""
    path, roles = f"{server_path(host)}.ports", port_roles(host)
    ports = [port.get("containerPort") for port in host.spec.predictor.server.ports or ()]
    for index, (port, role) in enumerate(zip(ports, roles, strict=True)):
        error = _port_error(port, role)
        if error:
            yield FieldError(f"{path}[{index}].containerPort", error)
    http = {quoted(port) for port, role in zip(ports, roles, strict=True) if role == "http"}
    if len(http) > 1:
        yield FieldError(path, f"{', '.join(sorted(http))} are given for HTTP; it must be one at most")


def _port_error(port: Any, role: Role) -> str | None:
    """Return the error of a port with this role, or None."""
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        return f"{quoted(port)} is not a port; it must be a number from 1 to 65535"
    if role in OURS:
        ours = OURS[role]
        return None if port == ours else f"{port} is not the port for {_ROLE_NAMES[role]}; it must be {ours}"
    taken = {AGENT_PORT: "the model agent"} | {ours: _ROLE_NAMES[other] for other, ours in OURS.items()}
    return f"{port} is taken for {taken[port]}; it must be another port" if port in taken else None


def owned_variables_are_unchanged(host: InferenceService) -> Iterator[FieldError]:
    """Refuse other values for the environment variables by which the agent controls the server."""
    predictor = host.spec.predictor
    owned = server_kind(predictor).owned_env
    for index, variable in enumerate(predictor.server.env or ()):
        if variable.name not in owned:
            continue
        allowed = owned[variable.name]
        allowed = str(http_port(host)) if allowed == HTTP_PORT_VALUE else allowed
        if allowed is None or variable.value != allowed:
            rule = "be left out" if allowed is None else f"be {allowed}, or be left out"
            path = f"{server_path(host)}.env[{index}]"
            yield FieldError(path, f"{variable.name} is the operator's; it must {rule}")


def _number(value: Memory | None) -> Decimal | None:
    try:
        number = parse_quantity(value)
    except ValueError:
        return None
    return number if number >= 0 else None


def _memory(path: str, value: Memory) -> Iterator[FieldError]:
    try:
        parse_memory(value)
    except ValueError as error:
        yield FieldError(path, str(error))


RULES: tuple[Rule, ...] = (
    resources_are_quantities,
    requests_stay_below_limits,
    ports_have_one_role,
    owned_variables_are_unchanged,
)
