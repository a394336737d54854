"""Drain: the choice of a shard that is emptied and removed.

A shard is drained when its copies fit on the others with `HEADROOM` percent of their memory left, and have done so for
`DRAIN_DELAY`. An annotation of its ConfigMap notes since when. A host with more shards than it may have drains at once,
if the copies fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from manyserve.plan.memory import declared_or_zero
from manyserve.plan.sharding.shard import Bounds, Demand, Shard

DRAIN_DELAY = 600.0
"""Seconds for which the copies of a shard must fit elsewhere before it is drained."""
HEADROOM = 10
"""Percent of the other shards' memory that stays free, so that the next model does not open a shard again."""
CLOCK_TOLERANCE = 1.0
"""Seconds. A note further in the future was written before the clock was set back."""


class Drain(NamedTuple):
    """The shard that is drained, or is going to be."""

    shard: int
    since: datetime
    """Since when its copies fit elsewhere."""
    begun: bool
    """The copies are being moved, and the shard takes no others."""

    def left(self, now: datetime) -> float | None:
        """Return the seconds until the drain begins, or None when it has begun."""
        return None if self.begun else DRAIN_DELAY - (now - self.since).total_seconds()


def next_drain(
    demands: Mapping[str, Demand],
    shards: Mapping[int, Shard],
    bounds: Bounds,
    notes: Mapping[int, datetime],
    now: datetime,
) -> Drain | None:
    """Return the shard to drain, or None. A shard that is noted stays the choice while its copies fit elsewhere."""
    if len(shards) <= bounds.least:
        return None
    must = len(shards) > bounds.most
    noted = [index for index in sorted(notes, key=lambda index: (notes[index], index)) if index in shards]
    used = {index: sum(map(declared_or_zero, shard.entries.values())) for index, shard in shards.items()}
    others = sorted((index for index in shards if index not in noted), key=lambda index: (used[index], -index))
    plan = _Plan(demands, shards, bounds.limit, used, headroom=0 if must else HEADROOM)
    chosen = next((index for index in (*noted, *others) if plan.is_drainable(index)), None)
    if chosen is None:
        return None
    since = notes.get(chosen, now)
    age = (now - since).total_seconds()
    if age < -CLOCK_TOLERANCE:
        since, age = now, 0.0
    return Drain(chosen, since, begun=must or age >= DRAIN_DELAY)


@dataclass(frozen=True)
class _Plan:
    """Where the copies of a shard would go."""

    demands: Mapping[str, Demand]
    shards: Mapping[int, Shard]
    limit: int
    used: Mapping[int, int]
    headroom: int

    def is_drainable(self, index: int) -> bool:
        """Return whether all copies of a shard fit on the others, the largest first. A closed shard takes none."""
        free = {each: self.limit - used for each, used in self.used.items() if each != index}
        moving = sorted((self.demands[name].memory, name) for name in self._moving(index))
        spare = self.headroom * self.limit * len(free)
        if (sum(free.values()) - sum(memory for memory, _ in moving)) * 100 < spare:
            return False
        for memory, name in reversed(moving):
            fitting = [each for each in free if free[each] >= memory and self._may_take(each, name)]
            if not fitting:
                return False
            free[min(fitting, key=lambda each: (free[each], each))] -= memory
        return True

    def _may_take(self, index: int, name: str) -> bool:
        return name not in self.shards[index].entries and not self.shards[index].is_closed_to(name)

    def _moving(self, index: int) -> Iterator[str]:
        """Yield the models of a shard without enough copies elsewhere."""
        others = [shard for each, shard in self.shards.items() if each != index]
        for name in self.shards[index].entries:
            if name in self.demands and sum(name in shard.entries for shard in others) < self.demands[name].copies:
                yield name
