"""Rules for the server's container: resources, ports, arguments and environment.

Without these rules such mistakes appear later, as pods that Kubernetes refuses or as a server that the agent cannot
reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import GRPC_PORT, METRICS_PORT
from manyserve.api.pod import Resources
from manyserve.api.quantity import QUANTITY_SENTENCE, Memory, parse_memory, parse_quantity
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.servers.registry import server_kind

Rule = Callable[[InferenceService], Iterator[FieldError]]

_TAKEN_PORTS = {GRPC_PORT: "gRPC", METRICS_PORT: "the server's metrics", AGENT_PORT: "the model agent"}


def resources_are_quantities(host: InferenceService) -> Iterator[FieldError]:
    """Require quantities that are not negative, and memory in whole bytes."""
    path, resources = _resources(host)
    for part, values in (("limits", resources.limits or {}), ("requests", resources.requests or {})):
        for name, value in values.items():
            field = f"{path}.{part}.{quoted(name).strip(chr(39))}"
            if _number(value) is None:
                yield FieldError(field, f"{quoted(value)} is not a quantity; it {QUANTITY_SENTENCE}")
            elif name == "memory":
                yield from _memory(field, value)


def requests_stay_below_limits(host: InferenceService) -> Iterator[FieldError]:
    """Refuse a request above its limit, as Kubernetes would refuse every pod of the host."""
    path, resources = _resources(host)
    limits = resources.limits or {}
    for name, value in (resources.requests or {}).items():
        most, wanted = _number(limits.get(name)), _number(value)
        if most is not None and wanted is not None and wanted > most:
            field = f"{path}.requests.{quoted(name).strip(chr(39))}"
            yield FieldError(
                field, f"{quoted(value)} is more than the limit; it must be at most {quoted(limits[name])}"
            )


def one_port_answers_http(host: InferenceService) -> Iterator[FieldError]:
    """Require at most one port, for HTTP. The operator owns the other ports, which are fixed."""
    ports = host.spec.predictor.server.ports or ()
    path = f"{_server_path(host)}.ports"
    if len(ports) > 1:
        yield FieldError(path, f"{len(ports)} are given; it must be one at most, where HTTP is answered")
    for index, container_port in enumerate(ports):
        field, port = f"{path}[{index}].containerPort", container_port.get("containerPort")
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
            yield FieldError(field, f"{quoted(port)} is not a port; it must be a number from 1 to 65535")
        elif port in _TAKEN_PORTS:
            yield FieldError(field, f"{port} is taken for {_TAKEN_PORTS[port]}; it must be another port")


def owned_arguments_are_unchanged(host: InferenceService) -> Iterator[FieldError]:
    """Refuse other values for the mode, the folder and the ports with which the operator starts the server."""
    owned = server_kind(host.spec.predictor).owned_args
    for path, argument, name, value in _arguments(host):
        if name in owned and value != owned[name]:
            ports = f"{_server_path(host)}.ports"
            ours = f"{name}={owned[name]}" if owned[name] else f"{name}, which follows {ports}"
            yield FieldError(path, f"{quoted(argument)} undoes the operator's {ours}; it must be left out")


def arguments_are_allowed(host: InferenceService) -> Iterator[FieldError]:
    """Refuse arguments that the check of the `ServerKind` does not allow."""
    argument_error = server_kind(host.spec.predictor).argument_error
    for path, argument, name, value in _arguments(host):
        error = argument_error(name, value)
        if error:
            yield FieldError(path, f"{quoted(argument)} {error}")


def owned_variables_are_unchanged(host: InferenceService) -> Iterator[FieldError]:
    """Refuse other values for the environment variables by which the agent controls the server."""
    predictor = host.spec.predictor
    owned = server_kind(predictor).owned_env
    for index, variable in enumerate(predictor.server.env or ()):
        if variable.name in owned and (owned[variable.name] is None or variable.value != owned[variable.name]):
            path = f"{_server_path(host)}.env[{index}]"
            yield FieldError(path, f"{variable.name} is the operator's; it must be left out")


def _arguments(host: InferenceService) -> Iterator[tuple[str, str, str, str]]:
    """Yield path, text, name and value of each argument; the value may be the next argument."""
    arguments = host.spec.predictor.server.args or ()
    for index, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        value = value if separator else next(iter(arguments[index + 1 : index + 2]), "")
        yield f"{_server_path(host)}.args[{index}]", argument, name, value


def _server_path(host: InferenceService) -> str:
    return f"spec.predictor.{host.spec.predictor.field or 'triton'}"


def _resources(host: InferenceService) -> tuple[str, Resources]:
    return f"{_server_path(host)}.resources", host.spec.predictor.server.resources or Resources()


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
    one_port_answers_http,
    owned_arguments_are_unchanged,
    arguments_are_allowed,
    owned_variables_are_unchanged,
)
