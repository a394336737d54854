"""Copies of the models of a host by their traffic: one decision for each model with a range of copies.

A homogeneous host has one decision, about its replicas, by the traffic of all models.

The decision is made from the last one. A new leader has none, and begins with the copies in the stored status: so it
removes none before it has seen the whole stabilization time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.children.replicas import is_scaled_on_traffic
from manyserve.plan.departure import host_uid
from manyserve.plan.sharding.bounds import host_metric, host_scale, metric_of, scale_of
from manyserve.plan.sharding.scaling import ALL_MODELS, Decision, History, Scale, decide
from manyserve.plan.sharding.traffic import Interval, total_traffic, traffic_of


class Scaled(NamedTuple):
    """Decision about a model, with the history behind it."""

    metric: str
    history: History
    decision: Decision


def needs_traffic(host: InferenceService) -> bool:
    """Return whether the copies of a host's models, or its replicas, depend on the traffic."""
    return host.spec.predictor.is_heterogeneous or is_scaled_on_traffic(host)


def scaled(
    host: InferenceService,
    models: Iterable[TrainedModel],
    intervals: Iterable[Interval],
    before: Mapping[str, Scaled],
    now: int,
) -> dict[str, Scaled]:
    """Return the decisions about a host's models; a model with traffic that was never known has none.

    Parameters
    ----------
    before
        The last decisions, by model.
    now
        Seconds of a monotonic clock.
    """
    with_range = {model.metadata.name: model for model in models if _has_range(host, model)}
    traffic = traffic_of(intervals, {name: metric_of(host, model) for name, model in with_range.items()})
    return {
        name: _scaled(host, model, traffic.get(name), before.get(name), now)
        for name, model in with_range.items()
        if name in traffic or name in before
    }


def scaled_replicas(
    host: InferenceService, replicas: int, intervals: Iterable[Interval], before: Mapping[str, Scaled], now: int
) -> dict[str, Scaled]:
    """Return the decision about the replicas of a homogeneous host; none while its traffic was never known.

    `replicas` is their present number. Parameters and shape are those of `scaled`.
    """
    metric, last = host_metric(host), before.get(ALL_MODELS)
    traffic = total_traffic(intervals, metric)
    if traffic is None and last is None:
        return {}
    return {ALL_MODELS: _next(metric, traffic, last, replicas, host_scale(host), now)}


def stored_copies(host: InferenceService, models: Iterable[TrainedModel]) -> dict[str, int]:
    """Return the copies of the last decision about each model, by its stored status."""
    with_range = (model for model in models if _has_range(host, model))
    return {model.metadata.name: _stored(host, model) for model in with_range}


def _has_range(host: InferenceService, model: TrainedModel) -> bool:
    if model.spec.max_replicas is None:
        return False
    scale = scale_of(host, model)
    return scale.least < scale.most


def _scaled(host: InferenceService, model: TrainedModel, traffic: int | None, last: Scaled | None, now: int) -> Scaled:
    return _next(metric_of(host, model), traffic, last, _stored(host, model), scale_of(host, model), now)


def _next(metric: str, traffic: int | None, last: Scaled | None, present: int, scale: Scale, now: int) -> Scaled:
    """Return the next decision, from the present number without a last one. Another metric has another history."""
    copies = last.decision.copies if last is not None else present
    history = last.history if last is not None and last.metric == metric else History()
    return Scaled(metric, *decide(history, now, traffic, copies, scale))


def _stored(host: InferenceService, model: TrainedModel) -> int:
    """Return the stored copies within the bounds; the fewest of a model that was not on this host."""
    scale, status = scale_of(host, model), model.status
    is_here = status.shards is not None and host_uid(model) == host.metadata.uid
    return min(max(status.replicas or 0, scale.least), scale.most) if is_here else scale.least
