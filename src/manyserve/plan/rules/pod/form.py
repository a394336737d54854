"""Rule for the form of each part of a pod: names, numbers, enums and required fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.rules.fields import FieldError
from manyserve.plan.rules.pod.container import (
    ContainerPort,
    EnvFrom,
    Lifecycle,
    PodSecurityContext,
    Probe,
    RestartingProbe,
    SecurityContext,
    Variable,
    WholeProbe,
    WholeRestartingProbe,
)
from manyserve.plan.rules.pod.containers import containers
from manyserve.plan.rules.pod.network import DnsConfig, HostAlias, ReadinessGate
from manyserve.plan.rules.pod.scheduling import Affinity, SpreadConstraint, Toleration
from manyserve.plan.rules.pod.types import ImageName, LabelKey, LabelValue, ObjectName, Part, problems
from manyserve.plan.rules.pod.volumes import Volume, VolumeDevice, VolumeMount


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
    dns_config: DnsConfig | None = None
    host_aliases: list[HostAlias] | None = None
    readiness_gates: list[ReadinessGate] | None = None


class _ContainerSettings(Part):
    image: ImageName | None = None
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] | None = None
    env_from: list[EnvFrom] | None = None
    volume_mounts: list[VolumeMount] | None = None
    volume_devices: list[VolumeDevice] | None = None
    lifecycle: Lifecycle | None = None
    security_context: SecurityContext | None = None


class _ServerSettings(_ContainerSettings):
    liveness_probe: RestartingProbe | None = None
    readiness_probe: Probe | None = None
    startup_probe: RestartingProbe | None = None


class _InitSettings(_ContainerSettings):
    ports: list[ContainerPort] | None = None
    liveness_probe: WholeRestartingProbe | None = None
    readiness_probe: WholeProbe | None = None
    startup_probe: WholeRestartingProbe | None = None


def parts_have_the_form_of_kubernetes(host: InferenceService) -> Iterator[FieldError]:
    """Require of each part the form that Kubernetes requires."""
    yield from problems("spec.predictor", _PodSettings, _given(host.spec.predictor, _PodSettings))
    for each in containers(host):
        settings = _ServerSettings if each.is_server else _InitSettings
        yield from problems(each.path, settings, _given(each.fields, settings))
        for index, variable in enumerate(each.fields.env or ()):
            data = {"name": variable.name, "value": variable.value, "valueFrom": variable.value_from}
            yield from problems(f"{each.path}.env[{index}]", Variable, data)


def _given(parent: Any, settings: type[Part]) -> Mapping[str, Any]:
    """Return the fields of an object of the API that are given, as JSON."""
    values = {field.alias or name: getattr(parent, name) for name, field in settings.model_fields.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}
