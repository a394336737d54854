"""Missing copies: first copies by age before any further copy, each into memory that is free now.

A first copy goes to the shard with the least free memory that it fits into (best fit), so that large holes stay. A
further copy goes to the shard with the fewest requests in flight, in whole requests, then with the most free memory.
Without a hole a new shard is opened. Without that, one other copy moves to another shard, to make a hole for a further
copy.
"""

from __future__ import annotations

from collections.abc import Iterator

from manyserve.plan.sharding.packing import Packing
from manyserve.plan.sharding.scaling import UNIT
from manyserve.plan.sharding.surplus import Waiting

Missing = list[tuple[int, tuple[int, str, str], str]]
"""Copies in the order of placement: their number beside the standing ones, the model's age, its name."""


def missing_copies(packing: Packing) -> Missing:
    """Return the missing copies in the order of placement."""
    missing: Missing = []
    for name, demand in packing.demands.items():
        holders = packing.holders.get(name, ())
        if len(holders) >= demand.copies and not packing.outdated and packing.draining is None:
            continue
        missing += [(number, demand.age, name) for number in range(len(packing.firm(name)), demand.copies)]
    return sorted(missing)


def waiting_copies(packing: Packing, missing: Missing) -> Waiting:
    """Return the further copies that fit on no shard."""
    further = ((name, packing.demands[name].memory) for number, _, name in missing if number)
    return [each for each in further if not any(packing.takes(index, *each) for index in packing.shards)]


def add_missing(packing: Packing, missing: Missing) -> Missing:
    """Add the copies that find memory, and return the others."""
    return [copy for copy in missing if not _is_added(packing, copy[2], first=copy[0] == 0)]


def _is_added(packing: Packing, name: str, *, first: bool) -> bool:
    demand = packing.demands[name]
    index = _best_fit(packing, name, demand.memory) if first else _least_loaded(packing, name, demand.memory)
    if index is None and _may_open(packing, name):
        index = packing.open()
    if index is None:
        return False
    packing.add(index, name, demand.entry, demand.memory)
    return True


def _best_fit(packing: Packing, name: str, memory: int) -> int | None:
    fitting = (index for index in packing.shards if packing.takes(index, name, memory))
    return min(fitting, key=lambda index: (packing.free(index), index), default=None)


def _least_loaded(packing: Packing, name: str, memory: int) -> int | None:
    fitting = (index for index in packing.shards if packing.takes(index, name, memory))
    order = ((packing.shards[index].load // UNIT, -packing.free(index), index) for index in fitting)
    least = min(order, default=None)
    return None if least is None else least[-1]


def _may_open(packing: Packing, name: str) -> bool:
    """Return whether a new shard helps: it is allowed, the copy fits into one, and is not drained from another."""
    is_drained = packing.draining is not None and packing.draining in packing.holders.get(name, ())
    fits_alone = packing.demands[name].memory <= packing.bounds.limit
    return len(packing.shards) < packing.bounds.most and fits_alone and not is_drained


def move_for_hole(packing: Packing, waiting: Missing) -> None:
    """Add a copy of another model to a second shard, so that its first one makes a hole when it is struck.

    There is one move at a time on a host.
    """
    is_moving = any(len(holders) > packing.demands[name].copies for name, holders in packing.holders.items())
    if packing.draining is not None or is_moving:
        return
    further = ((name, packing.demands[name].memory) for number, _, name in waiting if number)
    moves = (move for name, memory in further for move in _moves(packing, name, memory))
    first = next(moves, None)
    if first is not None:
        name, target = first
        packing.add(target, name, packing.demands[name].entry, packing.demands[name].memory)


def _moves(packing: Packing, name: str, memory: int) -> Iterator[tuple[str, int]]:
    """Yield the models that may move, each with its target, so that a copy of `name` fits; the smallest first."""
    candidates = [
        (packing.demands[other].memory, index, other)
        for index, entries in packing.placed.items()
        if name not in entries and not packing.shards[index].is_closed_to(name)
        for other in entries
        if packing.demands[other].memory + packing.free(index) >= memory
    ]
    for needed, _, other in sorted(candidates):
        target = _best_fit(packing, other, needed)
        if target is not None:
            yield other, target
