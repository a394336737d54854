"""Allocations of memory by host, with sums that are updated with each entry.

One instance holds the models in the informer. Another, in `Reservations`, holds the models that were admitted a moment
ago and are not in the informer yet. A request reads one sum, or the few largest allocations when the sum is too large.
So its cost does not depend on the number of models.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from manyserve.api.names import Key
from manyserve.plan.memory import MemoryShare, Usage


@dataclass(frozen=True)
class Allocation:
    """Memory of one model on its host."""

    host: Key
    framework: str
    share: MemoryShare

    @property
    def memory(self) -> int:
        """The bytes."""
        return self.share.memory


@dataclass
class _HostAllocations:
    """Allocations on one host, by uid."""

    of: dict[str, Allocation] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    ranks: list[tuple[int, str, str]] = field(default_factory=list)
    """Sorted: an insertion among 10,000 is a binary search and one memory move."""
    frameworks: Counter[str] = field(default_factory=Counter)

    def add(self, uid: str, allocation: Allocation) -> None:
        self.of[uid] = allocation
        self.usage.add(uid, allocation.memory)
        insort(self.ranks, _rank(uid, allocation))
        self.frameworks[allocation.framework] += 1

    def remove(self, uid: str) -> None:
        allocation = self.of.pop(uid)
        self.usage.remove(uid)
        del self.ranks[bisect_left(self.ranks, _rank(uid, allocation))]
        self.frameworks[allocation.framework] -= 1
        if not self.frameworks[allocation.framework]:
            del self.frameworks[allocation.framework]


def _rank(uid: str, allocation: Allocation) -> tuple[int, str, str]:
    return -allocation.memory, allocation.share.model, uid


_NONE = _HostAllocations()


class Allocations:
    """Allocations by the uid of their model, with sums for each host."""

    def __init__(self) -> None:
        self._allocations: dict[str, Allocation] = {}
        self._by_host: dict[Key, _HostAllocations] = {}

    def put(self, uid: str, allocation: Allocation) -> None:
        """Set a model's allocation, in place of its earlier one on any host."""
        self.drop(uid)
        self._allocations[uid] = allocation
        self._by_host.setdefault(allocation.host, _HostAllocations()).add(uid, allocation)

    def drop(self, uid: str) -> None:
        """Remove a model's allocation, if it has one."""
        allocation = self._allocations.pop(uid, None)
        if allocation is None:
            return
        on_host = self._by_host[allocation.host]
        on_host.remove(uid)
        if not on_host.of:
            del self._by_host[allocation.host]

    def get(self, uid: str) -> Allocation | None:
        """Return a model's allocation."""
        return self._allocations.get(uid)

    def total(self, host: Key) -> int:
        """Return the bytes that are used on a host."""
        return self._on(host).usage.total

    def allocations(self, host: Key) -> Mapping[str, Allocation]:
        """Return the allocations on a host by uid."""
        return self._on(host).of

    def frameworks(self, host: Key) -> Set[str]:
        """Return the frameworks of the models on a host."""
        return self._on(host).frameworks.keys()

    def largest(self, host: Key, count: int) -> list[str]:
        """Return the uids of the largest allocations on a host, largest first, equal ones by the model's name."""
        return [uid for _, _, uid in self._on(host).ranks[:count]]

    def larger(self, host: Key, memory: int) -> list[str]:
        """Return the uids of the allocations on a host that are larger than so many bytes."""
        ranks = self._on(host).ranks
        return [uid for _, _, uid in ranks[: bisect_left(ranks, (-memory, "", ""))]]

    def _on(self, host: Key) -> _HostAllocations:
        return self._by_host.get(host, _NONE)

    def __len__(self) -> int:
        return len(self._allocations)
