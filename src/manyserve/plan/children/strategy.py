"""Strategy of the Deployment: by default each new pod is ready before an old one ends."""

from __future__ import annotations

from manyserve.api.deploymentstrategy import (
    RECREATE,
    ROLLING_UPDATE,
    DeploymentStrategy,
    PodCount,
    RollingUpdate,
    is_zero,
    percentage,
)
from manyserve.plan.observed import Manifest

_SURGE: PodCount = "25%"


def build_strategy(given: DeploymentStrategy | None) -> Manifest:
    """Return the strategy of the Deployment. A strategy that would replace no pod at all may replace one."""
    if given is not None and given.type == RECREATE:
        return {"type": RECREATE}
    bounds = (given and given.rolling_update) or RollingUpdate()
    surge = bounds.max_surge if bounds.max_surge is not None else _SURGE
    unavailable = bounds.max_unavailable if bounds.max_unavailable is not None else int(is_zero(surge))
    return {"type": ROLLING_UPDATE, "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}


def replaces_side_by_side(deployment: Manifest) -> bool:
    """Return whether a new pod must be ready before the first old one ends."""
    spec = deployment.get("spec") or {}
    strategy = spec.get("strategy") or {}
    bounds = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == RECREATE or is_zero(bounds.get("maxSurge")):
        return False
    return _rounded_down(bounds.get("maxUnavailable", 0), spec.get("replicas", 1)) == 0


def _rounded_down(count: PodCount, replicas: int) -> int:
    """Return the number of pods, as Kubernetes rounds `maxUnavailable`."""
    percent = percentage(count)
    if percent is not None:
        return replicas * percent // 100
    return count if isinstance(count, int) else 0
