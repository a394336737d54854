"""Containers of a host that the rules for pods judge: the server, and the init containers of the user.

An init container that does not parse is left out here. A rule reports its form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.pod import ContainerFields
from manyserve.plan.children.server_container import RESTRICTED, STRICT
from manyserve.plan.rules.fields import UNKNOWN_SENTENCE, FieldError, quoted, shape_problems
from manyserve.plan.rules.paths import server_path

PORT_NAMES = ("http", "grpc", "metrics")
"""Ports of the server."""
ALWAYS = "Always"
"""Restart policy of an init container that runs beside the server."""
_OF_SIDECARS = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_FIELDS = {field.alias for field in ContainerFields.model_fields.values()} | {
    *("name", "resizePolicy", "restartPolicy", "restartPolicyRules", "terminationMessagePath"),
    "terminationMessagePolicy",
}


class JudgedContainer(NamedTuple):
    """A container with its path in the host."""

    path: str
    fields: ContainerFields
    security: Mapping[str, Any]
    """Security settings under the user's."""
    port_names: tuple[str, ...]
    is_server: bool = False


def containers(host: InferenceService) -> Iterator[JudgedContainer]:
    """Yield the server and the init containers."""
    server = host.spec.predictor.server
    yield JudgedContainer(server_path(host), server, STRICT, PORT_NAMES, is_server=True)
    for path, raw in _init_containers(host):
        try:
            fields = ContainerFields.from_wire(raw)
        except ValidationError:
            continue
        names = tuple(port["name"] for port in fields.ports or () if isinstance(port.get("name"), str))
        yield JudgedContainer(path, fields, RESTRICTED, names)


def init_containers_have_known_fields(host: InferenceService) -> Iterator[FieldError]:
    """Require fields of a container, with probes and hooks for one that runs beside the server only."""
    for path, raw in _init_containers(host):
        try:
            ContainerFields.from_wire(raw)
        except ValidationError as error:
            yield from shape_problems(path, error)
        for name in sorted(raw.keys() - _FIELDS):
            yield FieldError(f"{path}.{quoted(name)[1:-1]}", UNKNOWN_SENTENCE)
        policy = raw.get("restartPolicy")
        if policy not in (None, ALWAYS):
            sentence = f"{quoted(policy)} is not allowed; it must be {ALWAYS}, or be left out"
            yield FieldError(f"{path}.restartPolicy", sentence)
        for name in _OF_SIDECARS if policy != ALWAYS else ():
            if raw.get(name) is not None:
                sentence = f"is for init containers with restartPolicy {ALWAYS}; it must be left out"
                yield FieldError(f"{path}.{name}", sentence)


def _init_containers(host: InferenceService) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, raw in enumerate(host.spec.predictor.init_containers or ()):
        yield f"spec.predictor.initContainers[{index}]", raw
