"""Rule for the form of each part of a pod: names, numbers, enums and required fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.rules.fields import FieldError
from manyserve.plan.rules.paths import server_path
from manyserve.plan.rules.pod.container import (
    EnvFrom,
    Lifecycle,
    PodSecurityContext,
    Probe,
    RestartingProbe,
    SecurityContext,
    Variable,
)
from manyserve.plan.rules.pod.scheduling import Affinity, SpreadConstraint, Toleration
from manyserve.plan.rules.pod.types import ImageName, LabelKey, LabelValue, ObjectName, Part, problems
from manyserve.plan.rules.pod.volumes import Volume, VolumeMount


class _PodSettings(Part):
    service_account_name: ObjectName | None = None
    priority_class_name: ObjectName | None = None
    runtime_class_name: ObjectName | None = None
    node_selector: dict[LabelKey, LabelValue] | None = None
    volumes: list[Volume] | None = None
    tolerations: list[Toleration] | None = None
    affinity: Affinity | None = None
    topology_spread_constraints: list[SpreadConstraint] | None = None
    security_context: PodSecurityContext | None = None


class _ServerSettings(Part):
    image: ImageName | None = None
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] | None = None
    env_from: list[EnvFrom] | None = None
    volume_mounts: list[VolumeMount] | None = None
    liveness_probe: RestartingProbe | None = None
    readiness_probe: Probe | None = None
    startup_probe: RestartingProbe | None = None
    lifecycle: Lifecycle | None = None
    security_context: SecurityContext | None = None


def parts_have_the_form_of_kubernetes(host: InferenceService) -> Iterator[FieldError]:
    """Require of each part the form that Kubernetes requires."""
    predictor, path = host.spec.predictor, server_path(host)
    yield from problems("spec.predictor", _PodSettings, _given(predictor, _PodSettings))
    yield from problems(path, _ServerSettings, _given(predictor.server, _ServerSettings))
    for index, variable in enumerate(predictor.server.env or ()):
        data = {"name": variable.name, "value": variable.value, "valueFrom": variable.value_from}
        yield from problems(f"{path}.env[{index}]", Variable, data)


def _given(parent: Any, settings: type[Part]) -> Mapping[str, Any]:
    """Return the fields of an object of the API that are given, as JSON."""
    values = {field.alias or name: getattr(parent, name) for name, field in settings.model_fields.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}
