"""Figures about the shards and the copies of a heterogeneous host, in its status."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.quantity import format_memory
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.sharding.bounds import bounds_of
from manyserve.plan.sharding.shard import Bounds, shard_names
from manyserve.plan.status.context import HostContext

Models = Iterable[tuple[TrainedModel, TrainedModelStatus]]


def with_shards(
    status: InferenceServiceStatus, context: HostContext, shards: Collection[int], models: Models
) -> InferenceServiceStatus:
    """Return the status of a host with its shards and copies; that of a homogeneous host as it is."""
    if not context.is_heterogeneous:
        return status
    bounds, ready = (
        bounds_of(context.host),
        {replica.shard for replica in context.replicas if replica.ready} & {*shards},
    )
    figures = {
        "shards": shard_names(shards),
        "pods": f"{len(ready)}/{len(shards)} ({limits_of(bounds)})",
        "copies": _copies(models),
        "memory": f"{format_memory(context.placement.used)}/{format_memory(bounds.limit * len(shards))}",
    }
    return status.model_copy(update=figures)


def limits_of(bounds: Bounds) -> str:
    """Return the fewest and the most shards of a host as users read them: `1-8`, or `3`."""
    return str(bounds.most) if bounds.least == bounds.most else f"{bounds.least}-{bounds.most}"


def _copies(models: Models) -> str:
    loaded = wanted = 0
    for _, status in models:
        loaded += status.loaded_replicas or 0
        wanted += status.replicas or 0
    return f"{loaded}/{wanted}"
