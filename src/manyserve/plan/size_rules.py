"""The rules for sizes and numbers on a host: an object that Kubernetes could not hold, or nobody could mean.

Each limit is the one of Kubernetes where it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.problem import Problem, shown, too_long

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
    "nodeSelector": 64,
}
_SERVER_SIZES = {
    "image": 1024,
    "imagePullPolicy": 32,
    "workingDir": 4096,
    "runtimeVersion": 128,
    **dict.fromkeys(("command", "args", "env"), 256),
    **dict.fromkeys(("envFrom", "ports", "volumeMounts"), 128),
}
_ENV_SIZES = {"name": 256, "value": 32_768}
_ARGUMENT_SIZE = 4096
_RESOURCES = 64
"""Resources in limits or requests."""


def numbers_are_in_range(host: InferenceService) -> Iterator[Problem]:
    """Require numbers that Kubernetes takes."""
    predictor = host.spec.predictor.to_wire()
    for name, (least, most) in _RANGES.items():
        found = predictor.get(name)
        if found is not None and not least <= found <= most:
            yield Problem(f"spec.predictor.{name}", f"{shown(found)} is not allowed; it must be from {least} to {most}")


def pods_are_of_a_size(host: InferenceService) -> Iterator[Problem]:
    """Refuse texts and lists of the pod that are too long."""
    yield from _too_large("spec.predictor", host.spec.predictor.to_wire(), _POD_SIZES)


def containers_are_of_a_size(host: InferenceService) -> Iterator[Problem]:
    """Refuse texts and lists of the server's container that are too long."""
    path, server = f"spec.predictor.{host.spec.predictor.field}", host.spec.predictor.server.to_wire()
    yield from _too_large(path, server, _SERVER_SIZES)
    for name in ("command", "args"):
        for index, each in enumerate(server.get(name, ())):
            yield from _one_too_large(f"{path}.{name}[{index}]", each, _ARGUMENT_SIZE)
    for index, each in enumerate(server.get("env", ())):
        yield from _too_large(f"{path}.env[{index}]", each, _ENV_SIZES)
    for part in ("limits", "requests"):
        values = server.get("resources", {}).get(part, {})
        yield from _one_too_large(f"{path}.resources.{part}", values, _RESOURCES)


def _too_large(path: str, values: Mapping[str, Any], sizes: Mapping[str, int]) -> Iterator[Problem]:
    for name, most in sizes.items():
        if name in values:
            yield from _one_too_large(f"{path}.{name}", values[name], most)


def _one_too_large(path: str, value: Any, most: int) -> Iterator[Problem]:
    if len(value) > most:
        yield Problem(path, too_long(value, most))


RULES: tuple[Callable[[InferenceService], Iterator[Problem]], ...] = (
    numbers_are_in_range,
    pods_are_of_a_size,
    containers_are_of_a_size,
)
