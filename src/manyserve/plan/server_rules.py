"""The rules for the server's container: its resources, its ports and its arguments.

What they refuse would otherwise show only later: as pods that Kubernetes refuses, or as a server that the agent
cannot reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import GRPC_PORT, METRICS_PORT
from manyserve.api.pod import Resources
from manyserve.api.quantity import QUANTITY_SENTENCE, Memory, parse_memory, parse_quantity
from manyserve.plan.problem import Problem, shown
from manyserve.plan.servers.launch import KEY_ENV, MODELS_DIR
from manyserve.plan.servers.triton import GRPC_RESTRICTED, HTTP_RESTRICTED, LOAD_API, names_load_api

Rule = Callable[[InferenceService], Iterator[Problem]]

_TRITON = {
    "--model-repository": MODELS_DIR,
    "--model-store": MODELS_DIR,
    "--model-control-mode": "explicit",
    "--http-port": "",
    "--grpc-port": str(GRPC_PORT),
    "--metrics-port": str(METRICS_PORT),
    "--allow-sagemaker": "false",  # these two load models, too, on ports of their own
    "--allow-vertex-ai": "false",
}
_KSERVE = {"--model_dir": MODELS_DIR, "--http_port": "", "--grpc_port": str(GRPC_PORT), "--workers": "1"}
"""Arguments that the operator gives, with the only value that works; empty: none does."""
_MLSERVER_ENV = (
    "MLSERVER_HTTP_PORT",
    "MLSERVER_GRPC_PORT",
    "MLSERVER_METRICS_PORT",
    "MLSERVER_MODELS_DIR",
    "MLSERVER_LOAD_MODELS_AT_STARTUP",
)
_NOT_AT_STARTUP = ("MLSERVER_LOAD_MODELS_AT_STARTUP", "false")
"""KServe 0.8 stores this variable on its hosts, with the value that the operator gives."""
_TAKEN_PORTS = {GRPC_PORT: "gRPC", METRICS_PORT: "the server's metrics", AGENT_PORT: "the model agent"}


def resources_are_quantities(service: InferenceService) -> Iterator[Problem]:
    """Require quantities that are not negative, and memory in whole bytes."""
    path, resources = _resources(service)
    for part, values in (("limits", resources.limits or {}), ("requests", resources.requests or {})):
        for name, value in values.items():
            where = f"{path}.{part}.{shown(name).strip(chr(39))}"
            if _number(value) is None:
                yield Problem(where, f"{shown(value)} is not a quantity; it {QUANTITY_SENTENCE}")
            elif name == "memory":
                yield from _memory(where, value)


def requests_stay_below_limits(service: InferenceService) -> Iterator[Problem]:
    """Refuse a request above its limit, as Kubernetes would refuse every pod of the host."""
    path, resources = _resources(service)
    limits = resources.limits or {}
    for name, value in (resources.requests or {}).items():
        most, wanted = _number(limits.get(name)), _number(value)
        if most is not None and wanted is not None and wanted > most:
            where = f"{path}.requests.{shown(name).strip(chr(39))}"
            yield Problem(where, f"{shown(value)} is more than the limit; it must be at most {shown(limits[name])}")


def one_port_answers_http(service: InferenceService) -> Iterator[Problem]:
    """Require at most one port, where HTTP is answered: the others are the operator's, and fixed."""
    ports = service.spec.predictor.server.ports or ()
    path = f"{_server_path(service)}.ports"
    if len(ports) > 1:
        yield Problem(path, f"{len(ports)} are given; it must be one at most, where HTTP is answered")
    for index, each in enumerate(ports):
        where, port = f"{path}[{index}].containerPort", each.get("containerPort")
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
            yield Problem(where, f"{shown(port)} is not a port; it must be a number from 1 to 65535")
        elif port in _TAKEN_PORTS:
            yield Problem(where, f"{port} is taken for {_TAKEN_PORTS[port]}; it must be another port")


def arguments_leave_ours_alone(service: InferenceService) -> Iterator[Problem]:
    """Refuse to undo the mode, the folder and the ports with which the operator starts the server."""
    known = _our_arguments(service)
    for where, each, name, value in _arguments(service):
        if name in known and value != known[name]:
            ports = f"{_server_path(service)}.ports"
            ours = f"{name}={known[name]}" if known[name] else f"{name}, which follows {ports}"
            yield Problem(where, f"{shown(each)} undoes the operator's {ours}; it must be left out")


def the_load_api_stays_closed(service: InferenceService) -> Iterator[Problem]:
    """Refuse a key of the user's own for Triton's load API: Triton takes one, and it is the agent's."""
    if service.spec.predictor.name != "triton":
        return
    for where, each, name, value in _arguments(service):
        if name in (HTTP_RESTRICTED, GRPC_RESTRICTED) and names_load_api(value):
            yield Problem(where, f"{shown(each)} speaks of {LOAD_API}, which only the agent uses; it must be left out")


def environment_leaves_ours_alone(service: InferenceService) -> Iterator[Problem]:
    """Refuse variables that would take the server away from the agent."""
    predictor = service.spec.predictor
    if predictor.framework_server is None or predictor.protocol == "v1":
        return
    ours = (KEY_ENV,) if predictor.name == "triton" else _MLSERVER_ENV
    for index, each in enumerate(predictor.server.env or ()):
        if each.name in ours and (each.name, each.value) != _NOT_AT_STARTUP:
            where = f"{_server_path(service)}.env[{index}]"
            yield Problem(where, f"{each.name} is the operator's; it must be left out")


def no_token_is_mounted(host: InferenceService) -> Iterator[Problem]:
    """Refuse to give the pods of a host the token of their ServiceAccount."""
    if host.spec.predictor.automount_service_account_token:
        sentence = "true is not supported; it must be false: no pod of a host gets the token of its ServiceAccount"
        yield Problem("spec.predictor.automountServiceAccountToken", sentence)


def _our_arguments(service: InferenceService) -> Mapping[str, str]:
    predictor = service.spec.predictor
    if predictor.name == "triton":
        return _TRITON
    return _KSERVE if predictor.framework_server and predictor.protocol == "v1" else {}


def _arguments(service: InferenceService) -> Iterator[tuple[str, str, str, str]]:
    """Yield each argument: where it stands, whole, its name, its value, which may be the next argument."""
    arguments = service.spec.predictor.server.args or ()
    for index, each in enumerate(arguments):
        name, separator, value = each.partition("=")
        value = value if separator else next(iter(arguments[index + 1 : index + 2]), "")
        yield f"{_server_path(service)}.args[{index}]", each, name, value


def _server_path(service: InferenceService) -> str:
    return f"spec.predictor.{service.spec.predictor.field or 'triton'}"


def _resources(service: InferenceService) -> tuple[str, Resources]:
    return f"{_server_path(service)}.resources", service.spec.predictor.server.resources or Resources()


def _number(value: Memory | None) -> Decimal | None:
    try:
        number = parse_quantity(value)
    except ValueError:
        return None
    return number if number >= 0 else None


def _memory(where: str, value: Memory) -> Iterator[Problem]:
    try:
        parse_memory(value)
    except ValueError as error:
        yield Problem(where, str(error))


RULES: tuple[Rule, ...] = (
    resources_are_quantities,
    requests_stay_below_limits,
    one_port_answers_http,
    arguments_leave_ours_alone,
    the_load_api_stays_closed,
    environment_leaves_ours_alone,
    no_token_is_mounted,
)
