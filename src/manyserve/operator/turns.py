"""Whose turn it is to have its `models.json` written, while users are at it in a crowd.

A host that was written lately has its next turn a gap later. To one of many a crowd mostly comes one model after the
other, and each `models.json` that is written meanwhile is paid for by those who still ask. So each waits until its own
models make a pause, or for most of a gap; some wait less, for hosts whose news came together would be due together. A
model that somebody changes beside a crowd, on a host that is none of its, then waits for one second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from manyserve.api.names import Key
from manyserve.plan import pace

PAUSE = 1.0
"""Seconds without news of a host after which all that came to it together has come."""
SHARES = tuple(each / 24 for each in range(8, 25))
"""Of a gap, for one host after the other."""


@dataclass(frozen=True)
class Last:
    """The last write of a host's `models.json`: for its plan, and when that was by our clock."""

    written: pace.Written
    at: float


@dataclass
class _News:
    """When a host was first and last heard of, in seconds."""

    first: float
    last: float
    share: float
    """Of a gap, which it waits at most."""
    come: bool = False
    """It is its turn."""

    def wait(self, gap: float, now: float) -> float:
        if self.come or gap <= pace.GAP:
            return 0.0
        return max(min(self.last + PAUSE, self.first + self.share * gap) - now, 0.0)


class Turns:
    """Hosts that were written lately, and those of which there is news; the time is always given, in seconds."""

    def __init__(self) -> None:
        self._last: dict[Key, Last] = {}
        """The earliest first."""
        self._news: dict[Key, _News] = {}
        self._shares = itertools.cycle(SHARES)

    def last(self, key: Key, now: float) -> Last | None:
        """Return a host's last write, if it was lately."""
        return self._lately(now).get(key)

    def busy(self, key: Key) -> int:
        """Return of how many hosts `models.json` has changed lately or is to, this one included."""
        return len(self._last.keys() | self._news.keys() | {key})

    def heard(self, key: Key, now: float) -> bool:
        """Note news of a host, and tell whether it is its turn already."""
        if key not in self._news:
            self._news[key] = _News(now, now, next(self._shares))
        self._news[key].last = now
        return self._news[key].come

    def wait(self, key: Key, now: float) -> float:
        """Return the seconds for which a host waits until its models make a pause, or for most of a gap."""
        news = self._news.get(key)
        return news.wait(_gap(self.busy(key)), now) if news else 0.0

    def come(self, now: float) -> Iterable[Key]:
        """Yield the hosts whose turn it is now, each once."""
        lately = self._lately(now)
        gap = _gap(len(lately.keys() | self._news.keys()))
        for key, news in self._news.items():
            last = lately.get(key)
            if not news.come and not news.wait(gap, now) and (last is None or last.at + gap <= now):
                news.come = True
                yield key

    def wrote(self, key: Key, written: pace.Written, now: float) -> None:
        """Note that a host is written."""
        self._news.pop(key, None)
        self._last.pop(key, None)
        self._last[key] = Last(written, now)

    def failed(self, key: Key) -> None:
        """Note that it was not: it may be written at any time."""
        self._last.pop(key, None)

    def all_have_come(self) -> None:
        """Forget the news: nobody waits any more."""
        self._news.clear()

    def _lately(self, now: float) -> dict[Key, Last]:
        """Return the last writes without those that are so long ago that they keep no host waiting."""
        while self._last and next(iter(self._last.values())).at <= now - pace.LONGEST_GAP:
            del self._last[next(iter(self._last))]
        return self._last


def _gap(busy: int) -> float:
    return pace.Traffic(busy=busy).long_gap
