"""Surplus copies: those above a model's demand, on a shard that is drained, or with an outdated entry.

A copy is struck only when enough others answer and are routed. So no model loses its last answering copy, also when an
operator ends between the writes of two shards.
"""

from __future__ import annotations

from collections.abc import Sequence

from manyserve.plan.sharding.packing import Packing

Waiting = Sequence[tuple[str, int]]
"""Models with the memory of a further copy that fits on no shard."""


def strike_surplus(packing: Packing, waiting: Waiting = ()) -> None:
    """Strike the surplus copies that may go now. One that makes a hole for a waiting copy goes before others."""
    for name in sorted(name for name, holders in packing.holders.items() if _has_surplus(packing, name, holders)):
        for index in _surplus(packing, name, waiting):
            others = (each for each in packing.holders[name] if each != index)
            if sum(packing.answers(each, name) for each in others) >= packing.demands[name].copies:
                packing.strike(index, name)


def has_surplus(packing: Packing) -> bool:
    """Return whether a model has a copy that is to leave."""
    return any(_has_surplus(packing, name, holders) for name, holders in packing.holders.items())


def _has_surplus(packing: Packing, name: str, holders: Sequence[int]) -> bool:
    if len(holders) > packing.demands[name].copies or (packing.draining is not None and packing.draining in holders):
        return True
    return bool(packing.outdated) and any((index, name) in packing.outdated for index in holders)


def _surplus(packing: Packing, name: str, waiting: Waiting) -> list[int]:
    """Return the copies of a model that are to leave.

    They are those on the draining shard and the outdated ones. Of the others a copy that makes a hole comes first,
    then one that does not answer, then the highest index.
    """
    firm, memory = packing.firm(name), packing.demands[name].memory
    rest = sorted(index for index in packing.holders[name] if index not in firm)
    order = sorted(
        firm, key=lambda index: (not _makes_hole(packing, index, memory, waiting), packing.answers(index, name), -index)
    )
    return rest + order[: max(len(firm) - packing.demands[name].copies, 0)]


def _makes_hole(packing: Packing, index: int, memory: int, waiting: Waiting) -> bool:
    """Return whether a waiting copy fits on a shard when so many bytes leave it."""
    free = packing.free(index) + memory
    return any(wanted <= free and other not in packing.placed[index] for other, wanted in waiting)
