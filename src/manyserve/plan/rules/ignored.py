"""Fields of a host without effect: the webhook returns a warning for each.

`IGNORED` is the specification. docs/compatibility.md lists the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from manyserve.api.inferenceservice import HPA, FormatFields, InferenceService, ServerFields
from manyserve.plan.children.replicas import is_autoscaled
from manyserve.plan.host_metadata import ALIAS, INGRESS_CLASS, SNIPPET, has_annotation
from manyserve.plan.servers.ports import port_roles
from manyserve.plan.visibility import VISIBILITY_LABELS


class Ignored(NamedTuple):
    """A field without effect: its path, the reason, and a predicate. `SERVER` in the path is the server's field."""

    path: str
    sentence: str
    is_given: Callable[[InferenceService], bool]


def _has_name(host: InferenceService) -> bool:
    return bool(getattr(host.spec.predictor.server, "name", None))


def _has_version_and_image(host: InferenceService) -> bool:
    server = host.spec.predictor.server
    return bool(isinstance(server, ServerFields) and server.runtime_version and server.image)


def _has_runtime(host: InferenceService) -> bool:
    server = host.spec.predictor.server
    return isinstance(server, FormatFields) and bool(server.runtime)


def _has_format_version(host: InferenceService) -> bool:
    server = host.spec.predictor.server
    return isinstance(server, FormatFields) and bool(server.model_format.version)


def _has_port_details(host: InferenceService) -> bool:
    ports = zip(host.spec.predictor.server.ports or (), port_roles(host), strict=True)
    return any(
        value != {"name": role, "protocol": "TCP"}.get(key)
        for port, role in ports
        for key, value in port.items()
        if key != "containerPort"
    )


def _has_visibility_annotation(host: InferenceService) -> bool:
    annotations = host.metadata.annotations | (host.spec.predictor.annotations or {})
    return not annotations.keys().isdisjoint(VISIBILITY_LABELS)


def _has_unused_scaling(host: InferenceService) -> bool:
    predictor = host.spec.predictor
    is_given = predictor.scale_target is not None or predictor.scale_metric is not None
    is_used = predictor.is_heterogeneous or is_autoscaled(host)
    return is_given and host.autoscaler_class == HPA and not is_used


def _has_scaling_of_another_owner(host: InferenceService) -> bool:
    predictor = host.spec.predictor
    given = (predictor.max_replicas, predictor.scale_target, predictor.scale_metric)
    is_used = predictor.is_heterogeneous or all(each is None for each in given)
    return host.autoscaler_class != HPA and not is_used


def _has_autoscaler_class_of_shards(host: InferenceService) -> bool:
    return host.spec.predictor.is_heterogeneous and host.autoscaler_class != HPA


IGNORED = (
    Ignored("spec.predictor.SERVER.name", "the server's container is always called kserve-container", _has_name),
    Ignored("spec.predictor.SERVER.runtimeVersion", "image is given, and names its own tag", _has_version_and_image),
    Ignored(
        "spec.predictor.SERVER.ports",
        "only containerPort is read; the ports are always called http, grpc and metrics",
        _has_port_details,
    ),
    Ignored(
        "spec.predictor.model.runtime",
        "the server is the one that inferenceservice-config names for modelFormat.name",
        _has_runtime,
    ),
    Ignored(
        "spec.predictor.model.modelFormat.version", "the server takes models of every version", _has_format_version
    ),
    Ignored(
        "spec.predictor.scaleTarget, scaleMetric", "there is no autoscaler: maxReplicas is not set", _has_unused_scaling
    ),
    Ignored(
        "spec.predictor.maxReplicas, scaleTarget, scaleMetric",
        "the annotation autoscalerClass gives the replicas another owner",
        _has_scaling_of_another_owner,
    ),
    Ignored(
        "metadata.annotations[*/autoscalerClass]",
        "each pod of a heterogeneous host has models of its own, and only the operator adds and removes pods",
        _has_autoscaler_class_of_shards,
    ),
    Ignored(
        "metadata.annotations[*/visibility]",
        "the visibility is a label; without the label the host gets an address outside the cluster",
        _has_visibility_annotation,
    ),
    *(
        Ignored(f"metadata.annotations[{key}]", row.reason, partial(has_annotation, key))
        for row in (INGRESS_CLASS, SNIPPET, ALIAS)
        for key in row.keys
    ),
)


def ignored_fields(host: InferenceService) -> Iterator[str]:
    """Yield a sentence for each field of the host without effect."""
    for field in IGNORED:
        if field.is_given(host):
            yield f"{field.path.replace('SERVER', host.spec.predictor.field)} has no effect: {field.sentence}"
