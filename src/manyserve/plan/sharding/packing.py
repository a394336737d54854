"""Packing of copies on shards: the state of one placement, with exact sums of memory.

Each entry that is added fits into memory that is free now. A copy that is to leave holds its memory until it is struck.
So the `models.json` of each shard keeps the limit in each revision, in whatever order the shards are written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from manyserve.api.modelconfig import Entry
from manyserve.plan.memory import declared_or_zero, fits
from manyserve.plan.sharding.shard import Bounds, Demand, Shard


@dataclass
class Packing:
    """Entries by shard, and shards by model."""

    bounds: Bounds
    demands: Mapping[str, Demand]
    shards: dict[int, Shard]
    draining: int | None = None
    placed: dict[int, dict[str, Entry]] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=dict)
    holders: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Shards with a copy of the model."""
    outdated: set[tuple[int, str]] = field(default_factory=set)
    """Copies with an earlier entry, since the newest one declares more memory than is free on their shard."""

    def __post_init__(self) -> None:
        for index in self.shards:
            self.placed[index], self.used[index] = {}, 0
        while len(self.shards) < self.bounds.least:
            self.open()

    def free(self, index: int) -> int:
        """Return the free bytes of a shard."""
        return self.bounds.limit - self.used[index]

    def add(self, index: int, name: str, entry: Entry, memory: int) -> None:
        """Add an entry, which must fit."""
        self.placed[index][name] = entry
        self.used[index] += memory
        self.holders[name].append(index)

    def strike(self, index: int, name: str) -> None:
        """Remove an entry."""
        self.used[index] -= declared_or_zero(self.placed[index].pop(name))
        self.holders[name].remove(index)
        self.outdated.discard((index, name))

    def firm(self, name: str) -> list[int]:
        """Return the shards with a copy of the newest entry that stays."""
        holders = self.holders.get(name, ())
        return [each for each in holders if each != self.draining and (each, name) not in self.outdated]

    def answers(self, index: int, name: str) -> bool:
        """Return whether the copy on a shard answers, and is routed."""
        return index in self.shards and name in self.shards[index].routed and name in self.shards[index].entries

    def takes(self, index: int, name: str, memory: int) -> bool:
        """Return whether a shard may take another copy of a model now."""
        return (
            fits(self.used[index], memory, self.bounds.limit)
            and index != self.draining
            and name not in self.placed[index]
            and not self.shards[index].is_closed_to(name)
        )

    def open(self) -> int:
        """Open the lowest unused shard, and return its index."""
        index = next(each for each in range(len(self.shards) + 1) if each not in self.shards)
        self.shards[index], self.placed[index], self.used[index] = Shard(), {}, 0
        return index


def keep_standing(packing: Packing, newest: Mapping[tuple[int, str], Entry]) -> None:
    """Keep the entries of models with a demand. An entry that grew is kept as it was, and replaced where it fits.

    On a homogeneous host it is not kept, unless its server does not unload removed models: it is placed anew after the
    others. `newest` has the entries to be written in place of stored ones, by shard and model.
    """
    grown = {key for key in newest if _grew(packing, *key)}
    for index, shard in packing.shards.items():
        standing = {
            name: (entry, packing.demands[name].memory)
            for name, entry in shard.entries.items()
            if name in packing.demands and ((index, name) not in grown or _is_kept(packing, index, name))
        }
        for name in standing.keys() & {name for each, name in newest if each == index}:
            if (index, name) in grown:
                standing[name] = shard.entries[name], declared_or_zero(shard.entries[name])
            else:
                standing[name] = newest[index, name], packing.demands[name].memory
        if sum(memory for _, memory in standing.values()) > packing.bounds.limit:
            standing = _fitting(packing, standing, {name for each, name in grown if each == index})
        for name, (entry, memory) in standing.items():
            packing.add(index, name, entry, memory)
    for index, name in sorted(grown, key=lambda key: (packing.demands[key[1]].age, key[0])):
        if name in packing.placed[index]:
            _replace(packing, index, name, newest[index, name])


def _grew(packing: Packing, index: int, name: str) -> bool:
    return packing.demands[name].memory > declared_or_zero(packing.shards[index].entries[name])


def _is_kept(packing: Packing, index: int, name: str) -> bool:
    return packing.bounds.keeps_grown or packing.shards[index].is_closed_to(name)


def _fitting(
    packing: Packing, standing: Mapping[str, tuple[Entry, int]], grown: Collection[str]
) -> dict[str, tuple[Entry, int]]:
    """Return the entries that stay on a shard with too many: first those that did not grow, then the oldest."""
    used, staying = 0, {}
    for name in sorted(standing, key=lambda each: (each in grown, packing.demands[each].age)):
        memory = standing[name][1]
        if fits(used, memory, packing.bounds.limit):
            used += memory
            staying[name] = standing[name]
    return staying


def _replace(packing: Packing, index: int, name: str, entry: Entry) -> None:
    """Replace the entry of a model that grew, if it fits; else it is outdated."""
    more = packing.demands[name].memory - declared_or_zero(packing.placed[index][name])
    if fits(packing.used[index], more, packing.bounds.limit) and not packing.shards[index].is_closed_to(name):
        packing.placed[index][name] = entry
        packing.used[index] += more
    else:
        packing.outdated.add((index, name))
