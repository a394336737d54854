"""Who takes how much of which host: sums kept up to date with each entry, never counted anew.

One ledger holds what the informer shows, another what was admitted a moment ago and is not shown yet. A
request asks for one sum, so it costs the same for ten models and for ten thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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


_NOBODY: Mapping[str, Share] = MappingProxyType({})


class Ledger:
    """Shares by the uid of their model, with a sum for each host."""

    def __init__(self) -> None:
        self._shares: dict[str, Share] = {}
        self._by_host: dict[Key, dict[str, Share]] = {}
        self._totals: dict[Key, int] = {}

    def put(self, uid: str, share: Share) -> None:
        """Enter a share, in place of what the model had before, on whichever host that was."""
        self.drop(uid)
        self._shares[uid] = share
        self._by_host.setdefault(share.host, {})[uid] = share
        self._totals[share.host] = self._totals.get(share.host, 0) + share.memory

    def drop(self, uid: str) -> None:
        """Take a model's share out, if it has one."""
        share = self._shares.pop(uid, None)
        if share is None:
            return
        others = self._by_host[share.host]
        del others[uid]
        if others:
            self._totals[share.host] -= share.memory
        else:
            del self._by_host[share.host], self._totals[share.host]

    def get(self, uid: str) -> Share | None:
        """Return a model's share."""
        return self._shares.get(uid)

    def total(self, host: Key) -> int:
        """Return the bytes that are taken on a host."""
        return self._totals.get(host, 0)

    def shares(self, host: Key) -> Mapping[str, Share]:
        """Return the shares of a host by uid."""
        return self._by_host.get(host, _NOBODY)

    def __len__(self) -> int:
        return len(self._shares)
