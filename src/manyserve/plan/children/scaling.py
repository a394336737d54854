"""HorizontalPodAutoscaler and PodDisruptionBudget of a host: the children that depend on its number of replicas."""

from __future__ import annotations

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.children.common import child
from manyserve.plan.observed import Manifest

_DEFAULT_TARGET = 80
"""Percent of the requested resource."""


def is_autoscaled(host: InferenceService) -> bool:
    """Return whether the autoscaler sets the number of replicas: `maxReplicas` is above `minReplicas`."""
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


def build_disruption_budget(host: InferenceService) -> Manifest | None:
    """Return the PodDisruptionBudget, by which a node drain evicts the replicas one at a time.

    A single replica has none, since the budget would block the drain.
    """
    if (host.spec.predictor.min_replicas or 1) < 2:
        return None
    name = host.metadata.name
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": names.selector(name)}}
    return child(host, "policy/v1", "PodDisruptionBudget", names.deployment(name), spec=spec)
