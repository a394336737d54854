"""Assignment of copies to shards: a pure function of the observed shards and the demands.

It reads from top to bottom: placed copies stay, surplus copies are struck, missing ones are added. The assignment of a
host that has settled is the same again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from manyserve.api.modelconfig import Entry
from manyserve.plan.sharding.missing import add_missing, missing_copies, move_for_hole, waiting_copies
from manyserve.plan.sharding.packing import Packing, keep_standing
from manyserve.plan.sharding.shard import Bounds, Demand, Shard
from manyserve.plan.sharding.surplus import has_surplus, strike_surplus


@dataclass(frozen=True)
class Assignment:
    """Entries by shard, and the models with copies that wait for memory."""

    packing: Packing
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Number of missing copies, by model."""

    @property
    def placed(self) -> dict[int, dict[str, Entry]]:
        """Entries by shard."""
        return self.packing.placed


def assign(
    demands: Mapping[str, Demand],
    shards: Mapping[int, Shard],
    bounds: Bounds,
    newest: Mapping[tuple[int, str], Entry],
    draining: int | None = None,
) -> Assignment:
    """Return the entries of each shard.

    Parameters
    ----------
    newest
        The newest entries of models that changed, by shard and model.
    draining
        A shard that is emptied, so that it takes no copy.
    """
    packing = Packing(bounds, demands, dict(shards), draining)
    keep_standing(packing, newest)
    if has_surplus(packing):
        strike_surplus(packing, waiting_copies(packing, missing_copies(packing)))
    left = add_missing(packing, missing_copies(packing))
    move_for_hole(packing, left)
    waiting: dict[str, int] = {}
    for _, _, name in left:
        waiting[name] = waiting.get(name, 0) + 1
    return Assignment(packing, waiting)
