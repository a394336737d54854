"""Heterogeneous hosts for tests of placements, with small numbers as memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.placement import Placement, Sizing, entry_of, place
from manyserve.plan.sharding.shard import Shard
from tests.support import make

CONFIG = make.config()


def host(limit: int = 10, *, least: int = 1, most: int = 3) -> InferenceService:
    return make.host(memory=str(limit), allocation="Heterogeneous", minReplicas=least, maxReplicas=most)


def model(name: str, memory: int = 1, **fields: Any) -> TrainedModel:
    raw = make.model_object(name, memory=memory, uri=f"gs://models/{name}", created=f"2026-01-01T{name}")
    return TrainedModel.from_wire(raw | {"spec": raw["spec"] | fields})


def shard(*models: TrainedModel, routed: bool = True, **fields: Any) -> Shard:
    entries = {each.metadata.name: entry_of(each) for each in models}
    return Shard(entries, frozenset(entries) if routed else frozenset(), **fields)


def placed(
    models: list[TrainedModel],
    shards: Mapping[int, Shard],
    of: InferenceService | None = None,
    *,
    scaled: Mapping[str, int] | None = None,
    draining: int | None = None,
) -> Placement:
    return place(of or host(), models, shards, CONFIG, sizing=Sizing(scaled or {}, draining))


def names(placement: Placement) -> dict[int, list[str]]:
    return {index: sorted(entries) for index, entries in sorted(placement.shards.items())}
