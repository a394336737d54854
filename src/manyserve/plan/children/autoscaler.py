"""The HorizontalPodAutoscaler of a host: there is one when `maxReplicas` is above `minReplicas`."""

from __future__ import annotations

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.children.common import child
from manyserve.plan.observed import Manifest

_DEFAULT_TARGET = 80


def is_autoscaled(host: InferenceService) -> bool:
    """Tell whether the number of replicas is the autoscaler's to choose."""
    predictor = host.spec.predictor
    return (predictor.max_replicas or 0) > (predictor.min_replicas or 1)


def build_autoscaler(host: InferenceService) -> Manifest | None:
    """Return the HorizontalPodAutoscaler, or None when the number of replicas is fixed."""
    if not is_autoscaled(host):
        return None
    predictor = host.spec.predictor
    name = names.deployment(host.metadata.name)
    target = {"type": "Utilization", "averageUtilization": predictor.scale_target or _DEFAULT_TARGET}
    return child(
        host,
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        name,
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": predictor.min_replicas or 1,
            "maxReplicas": predictor.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": predictor.scale_metric or "cpu", "target": target}}],
        },
    )
