"""Placement on a host with one shard."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.placement import Placement, place
from manyserve.plan.sharding.shard import Shard


def place_on_one(
    host: InferenceService,
    models: Collection[TrainedModel],
    current: Iterable[Entry],
    config: ServingConfig,
    unparsable: Collection[str] = (),
    not_unloaded: Collection[str] = (),
    blocked_claims: Mapping[str, str] | None = None,
) -> Placement:
    """Return the placement on a homogeneous host with these entries of `models.json`."""
    shard = Shard({entry.model_name: entry for entry in current}, not_unloaded=not_unloaded)
    return place(host, models, {0: shard}, config, unparsable, blocked_claims or {})
