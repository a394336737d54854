"""Rules for `spec.predictor.deploymentStrategy`: those by which Kubernetes accepts the strategy of a Deployment."""

from __future__ import annotations

from collections.abc import Iterator

from manyserve.api.deploymentstrategy import RECREATE, ROLLING_UPDATE, PodCount, is_zero, percentage
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.rules.fields import FieldError, quoted

_PATH = "spec.predictor.deploymentStrategy"
_MOST = 1000
"""Pods, as many as `maxReplicas` may be."""
_ALL = 100
"""Percent."""
COUNT_SENTENCE = f"it must be a number of pods from 0 to {_MOST}, or a percentage such as 25%"


def strategy_is_accepted_by_kubernetes(host: InferenceService) -> Iterator[FieldError]:
    """Require a known type, and bounds that let at least one pod be replaced."""
    strategy = host.spec.predictor.deployment_strategy
    if strategy is None:
        return
    if strategy.type not in (None, RECREATE, ROLLING_UPDATE):
        sentence = f"{quoted(strategy.type)} is not supported; it must be {ROLLING_UPDATE} or {RECREATE}"
        yield FieldError(f"{_PATH}.type", sentence)
    bounds = strategy.rolling_update
    if bounds is None:
        return
    if strategy.type == RECREATE:
        yield FieldError(f"{_PATH}.rollingUpdate", f"must be left out with type {RECREATE}")
    yield from _count("maxUnavailable", bounds.max_unavailable, most_percent=_ALL)
    yield from _count("maxSurge", bounds.max_surge)
    if is_zero(bounds.max_unavailable) and is_zero(bounds.max_surge):
        sentence = "maxUnavailable and maxSurge are both 0; one of them must be above 0, or no pod can be replaced"
        yield FieldError(f"{_PATH}.rollingUpdate", sentence)


def _count(name: str, value: PodCount | None, most_percent: int | None = None) -> Iterator[FieldError]:
    if value is None:
        return
    path, percent = f"{_PATH}.rollingUpdate.{name}", percentage(value)
    if not (percent is not None or (isinstance(value, int) and 0 <= value <= _MOST)):
        yield FieldError(path, f"{quoted(value)} is not allowed; {COUNT_SENTENCE}")
    elif most_percent is not None and (percent or 0) > most_percent:
        yield FieldError(path, f"{quoted(value)} is not allowed; it must be at most {most_percent}%")
