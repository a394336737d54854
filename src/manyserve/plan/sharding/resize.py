"""Resize of a host: the drain that is noted or under way, and the removal of a shard that is empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from manyserve.api.conditions import timestamp
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import DRAINABLE_SINCE
from manyserve.plan.observed import Observed
from manyserve.plan.placement import Placement, demands_of
from manyserve.plan.sharding.autoscale import stored_copies
from manyserve.plan.sharding.bounds import bounds_of
from manyserve.plan.sharding.drain import Drain, next_drain
from manyserve.plan.sharding.observed import StoredShard


@dataclass(frozen=True)
class Resize:
    """Drain of a host."""

    drain: Drain | None = None

    @property
    def draining(self) -> int | None:
        """The shard that is emptied now."""
        return self.drain.shard if self.drain is not None and self.drain.begun else None

    def wait(self, now: datetime) -> float | None:
        """Return the seconds until the drain begins."""
        return self.drain.left(now) if self.drain is not None else None

    def note(self, index: int) -> dict[str, str]:
        """Return the annotation of a shard's ConfigMap."""
        is_noted = self.drain is not None and self.drain.shard == index
        return {DRAINABLE_SINCE: timestamp(self.drain.since)} if self.drain is not None and is_noted else {}

    def removed(self, placement: Placement, stored: Mapping[int, StoredShard]) -> frozenset[int]:
        """Return the drained shard when no list has a copy on it, the stored one included."""
        index = self.draining
        if index is None or placement.shards.get(index) or stored[index].shard.entries:
            return frozenset()
        return frozenset({index})


def resize(host: InferenceService, observed: Observed, stored: Mapping[int, StoredShard], now: datetime) -> Resize:
    """Return the resize of a host; a homogeneous one keeps its one shard, and an invalid one stays as it is."""
    if not host.spec.predictor.is_heterogeneous or observed.host_problems:
        return Resize()
    shards = {index: each.shard for index, each in stored.items()}
    notes = {index: since for index, each in stored.items() if (since := _noted(each)) is not None}
    demands = demands_of(host, observed.models, shards, copies_by_scaling(host, observed))
    return Resize(next_drain(demands, shards, bounds_of(host), notes, now))


def copies_by_scaling(host: InferenceService, observed: Observed) -> dict[str, int]:
    """Return the copies of each model that its traffic decides; those of the stored status before a decision."""
    decided = {name: decision.copies for name, decision in observed.scaling.decisions.items()}
    return stored_copies(host, observed.models) | decided


def _noted(stored: StoredShard) -> datetime | None:
    """Return the note of a ConfigMap, or None without a valid one."""
    metadata = stored.config_map["metadata"] if stored.config_map is not None else {}
    try:
        since = datetime.fromisoformat(str((metadata.get("annotations") or {}).get(DRAINABLE_SINCE)))
    except ValueError:
        return None
    return since if since.tzinfo is not None else None
