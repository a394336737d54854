"""The PodDisruptionBudget of a host: with more than one replica, a drain takes them one at a time."""

from __future__ import annotations

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.children.common import child
from manyserve.plan.observed import Manifest


def build_disruption_budget(service: InferenceService) -> Manifest | None:
    """Return the PodDisruptionBudget, or None for a single replica, which must not block a drain."""
    if (service.spec.predictor.min_replicas or 1) < 2:
        return None
    host = service.metadata.name
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": names.selector(host)}}
    return child(service, "policy/v1", "PodDisruptionBudget", names.deployment(host), spec=spec)
