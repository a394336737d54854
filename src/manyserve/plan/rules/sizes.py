"""Rules for sizes and numbers of a host: limits of Kubernetes where it has some, else far above any sensible value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.rules.fields import FieldError, quoted, too_long

_RANGES = {
    "minReplicas": (1, 1000),
    "maxReplicas": (1, 1000),
    "scaleTarget": (1, 100_000),
    "terminationGracePeriodSeconds": (0, 86_400),
}
_NAMES = ("serviceAccountName", "priorityClassName", "runtimeClassName", "schedulerName")
_POD_SIZES = {
    **dict.fromkeys(_NAMES, 253),
    **dict.fromkeys(("tolerations", "topologySpreadConstraints", "imagePullSecrets", "volumes"), 128),
    **dict.fromkeys(("initContainers", "hostAliases", "readinessGates"), 128),
    "nodeSelector": 64,
}
_SERVER_SIZES = {
    "image": 1024,
    "imagePullPolicy": 32,
    "workingDir": 4096,
    "runtimeVersion": 128,
    **dict.fromkeys(("command", "args", "env"), 256),
    **dict.fromkeys(("envFrom", "ports", "volumeMounts", "volumeDevices"), 128),
}
_ENV_SIZES = {"name": 256, "value": 32_768}
_ARGUMENT_SIZE = 4096
_RESOURCES = 64
"""Number of resources in limits or requests."""


def numbers_and_sizes_fit(host: InferenceService) -> Iterator[FieldError]:
    """Require numbers that Kubernetes accepts, and texts and lists that are not too long."""
    predictor = host.spec.predictor.to_wire()  # once: it takes a third of the time of all rules
    for name, (least, most) in _RANGES.items():
        number = predictor.get(name)
        if number is not None and not least <= number <= most:
            yield FieldError(
                f"spec.predictor.{name}", f"{quoted(number)} is not allowed; it must be from {least} to {most}"
            )
    yield from _too_large("spec.predictor", predictor, _POD_SIZES)
    field = host.spec.predictor.field
    server = predictor["containers"][0] if field == "containers[0]" else predictor.get(field, {})
    yield from _server(f"spec.predictor.{field}", server)


def _server(path: str, server: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from _too_large(path, server, _SERVER_SIZES)
    for name in ("command", "args"):
        for index, argument in enumerate(server.get(name, ())):
            yield from _one_too_large(f"{path}.{name}[{index}]", argument, _ARGUMENT_SIZE)
    for index, variable in enumerate(server.get("env", ())):
        yield from _too_large(f"{path}.env[{index}]", variable, _ENV_SIZES)
    for part in ("limits", "requests"):
        values = server.get("resources", {}).get(part, {})
        yield from _one_too_large(f"{path}.resources.{part}", values, _RESOURCES)


def _too_large(path: str, values: Mapping[str, Any], sizes: Mapping[str, int]) -> Iterator[FieldError]:
    for name, most in sizes.items():
        if name in values:
            yield from _one_too_large(f"{path}.{name}", values[name], most)


def _one_too_large(path: str, value: Any, most: int) -> Iterator[FieldError]:
    if len(value) > most:
        yield FieldError(path, too_long(value, most))
