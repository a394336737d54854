"""Who takes how much of which host: sums kept up to date with each entry, never counted anew.

One ledger holds what the informer shows, another what was admitted a moment ago and is not shown yet. A
request asks for one sum, or for the few largest shares when the sum is too much, so it costs the same for ten
models and for ten thousand.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from manyserve.api.names import Key
from manyserve.plan.capacity import Taken


@dataclass(frozen=True)
class Share:
    """One model's share of its host."""

    host: Key
    framework: str
    taken: Taken

    @property
    def memory(self) -> int:
        """The bytes."""
        return self.taken.memory


@dataclass
class _Shares:
    """The shares of one host."""

    of: dict[str, Share] = field(default_factory=dict)
    total: int = 0
    ranks: list[tuple[int, str, str]] = field(default_factory=list)
    """Sorted: to put one among ten thousand is a search and a move of memory."""
    frameworks: Counter[str] = field(default_factory=Counter)

    def add(self, uid: str, share: Share) -> None:
        self.of[uid] = share
        self.total += share.memory
        insort(self.ranks, _rank(uid, share))
        self.frameworks[share.framework] += 1

    def remove(self, uid: str) -> None:
        share = self.of.pop(uid)
        self.total -= share.memory
        del self.ranks[bisect_left(self.ranks, _rank(uid, share))]
        self.frameworks[share.framework] -= 1
        if not self.frameworks[share.framework]:
            del self.frameworks[share.framework]


def _rank(uid: str, share: Share) -> tuple[int, str, str]:
    return -share.memory, share.taken.model, uid


_NONE = _Shares()


class Ledger:
    """Shares by the uid of their model, with sums for each host."""

    def __init__(self) -> None:
        self._shares: dict[str, Share] = {}
        self._by_host: dict[Key, _Shares] = {}

    def put(self, uid: str, share: Share) -> None:
        """Enter a share, in place of what the model had before, on whichever host that was."""
        self.drop(uid)
        self._shares[uid] = share
        self._by_host.setdefault(share.host, _Shares()).add(uid, share)

    def drop(self, uid: str) -> None:
        """Take a model's share out, if it has one."""
        share = self._shares.pop(uid, None)
        if share is None:
            return
        others = self._by_host[share.host]
        others.remove(uid)
        if not others.of:
            del self._by_host[share.host]

    def get(self, uid: str) -> Share | None:
        """Return a model's share."""
        return self._shares.get(uid)

    def total(self, host: Key) -> int:
        """Return the bytes that are taken on a host."""
        return self._on(host).total

    def shares(self, host: Key) -> Mapping[str, Share]:
        """Return the shares of a host by uid."""
        return self._on(host).of

    def frameworks(self, host: Key) -> Set[str]:
        """Return the frameworks of the models on a host."""
        return self._on(host).frameworks.keys()

    def largest(self, host: Key, count: int) -> list[str]:
        """Return the uids of the largest shares of a host, the largest first, of like ones by the model's name."""
        return [uid for _, _, uid in self._on(host).ranks[:count]]

    def larger(self, host: Key, memory: int) -> list[str]:
        """Return the uids of the shares of a host that are larger than so many bytes."""
        ranks = self._on(host).ranks
        return [uid for _, _, uid in ranks[: bisect_left(ranks, (-memory, "", ""))]]

    def _on(self, host: Key) -> _Shares:
        return self._by_host.get(host, _NONE)

    def __len__(self) -> int:
        return len(self._shares)
