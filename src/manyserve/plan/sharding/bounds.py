"""Bounds of a host's shards, and the number of copies of a model."""

from __future__ import annotations

from collections.abc import Mapping

from manyserve.api.inferenceservice import MODEL_METRICS, InferenceService
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.children.replicas import least_replicas
from manyserve.plan.memory import least_copies, memory_limit, most_pods
from manyserve.plan.sharding.scaling import UNIT, Scale
from manyserve.plan.sharding.shard import Bounds

DEFAULT_TARGET = 1
"""Requests in flight, or requests a second, for one copy or one replica."""


def bounds_of(host: InferenceService) -> Bounds:
    """Return the bounds of a host; a homogeneous one has one shard for all its pods."""
    most = most_pods(host)
    least = min(host.spec.predictor.min_replicas or 1, most)
    return Bounds(memory_limit(host), least, most, keeps_grown=host.spec.predictor.is_heterogeneous)


def copies_of(model: TrainedModel, scaled: Mapping[str, int], bounds: Bounds) -> int:
    """Return the copies of a model: the number of its last scaling, within its own bounds and those of its host."""
    if bounds.most == 1 or (model.spec.min_replicas is None and model.spec.max_replicas is None):
        return 1
    least, most = range_of(model)
    return min(max(scaled.get(model.metadata.name, least), least), most, bounds.most)


def range_of(model: TrainedModel) -> tuple[int, int]:
    """Return the fewest and the most copies of a model by its own spec."""
    least = least_copies(model)
    return least, max(model.spec.max_replicas or least, least)


def metric_of(host: InferenceService, model: TrainedModel) -> str:
    """Return the metric by which a model is scaled."""
    return model.spec.scale_metric or host_metric(host)


def host_metric(host: InferenceService) -> str:
    """Return the metric of the traffic of all models."""
    return host.spec.predictor.scale_metric or MODEL_METRICS[0]


def host_scale(host: InferenceService) -> Scale:
    """Return the target of one replica of a homogeneous host, and the bounds of their number."""
    predictor, least = host.spec.predictor, least_replicas(host)
    return Scale((predictor.scale_target or DEFAULT_TARGET) * UNIT, least, max(predictor.max_replicas or least, least))


def scale_of(host: InferenceService, model: TrainedModel) -> Scale:
    """Return the target of a model, and its bounds within those of its host."""
    target = model.spec.scale_target or host.spec.predictor.scale_target or DEFAULT_TARGET
    (least, most), pods = range_of(model), most_pods(host)
    return Scale(target * UNIT, min(least, pods), min(most, pods))
