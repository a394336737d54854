"""Bounds of a host's shards, and the number of copies of a model."""

from __future__ import annotations

from collections.abc import Mapping

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.memory import least_copies, memory_limit, most_pods
from manyserve.plan.sharding.shard import Bounds


def bounds_of(host: InferenceService) -> Bounds:
    """Return the bounds of a host; a homogeneous one has one shard for all its pods."""
    most = most_pods(host)
    least = min(host.spec.predictor.min_replicas or 1, most)
    return Bounds(memory_limit(host), least, most, keeps_grown=host.spec.predictor.is_heterogeneous)


def copies_of(model: TrainedModel, scaled: Mapping[str, int], bounds: Bounds) -> int:
    """Return the copies of a model: the number of its last scaling, within its own bounds and those of its host."""
    if bounds.most == 1 or (model.spec.min_replicas is None and model.spec.max_replicas is None):
        return 1
    least = least_copies(model)
    most = max(model.spec.max_replicas or least, least)
    return min(max(scaled.get(model.metadata.name, least), least), most, bounds.most)
