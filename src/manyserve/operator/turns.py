"""Whose turn it is to have its `models.json` written, while users are at it in a crowd.

A host that was written lately has its next turn a gap later. To another one a crowd mostly comes one model after the
other, and each `models.json` that is written meanwhile is paid for by those who still ask. So it waits until its own
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
_SECOND = 1.0


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
    over: bool = False
    """It has waited."""


class Turns:
    """Hosts that were written lately, and others of which there is news; the time is always given, in seconds."""

    def __init__(self) -> None:
        self._last: dict[Key, Last] = {}
        """The earliest first."""
        self._news: dict[Key, _News] = {}
        self._shares = itertools.cycle(SHARES)

    def last(self, key: Key, now: float) -> Last | None:
        """Return a host's last write, if it was lately."""
        while self._last and next(iter(self._last.values())).at <= now - pace.LONGEST_GAP:
            del self._last[next(iter(self._last))]
        return self._last.get(key)

    def busy(self, key: Key) -> int:
        """Return of how many hosts `models.json` has changed lately or is to, this one included."""
        return len(self._last) + len(self._news) + (key not in self._last and key not in self._news)

    def written(self, now: float) -> int:
        """Return how many hosts were written within the last second."""
        return sum(1 for _ in itertools.takewhile(lambda last: last.at > now - _SECOND, reversed(self._last.values())))

    def heard(self, key: Key, now: float) -> float | None:
        """Note news of a host; return the seconds until its turn, or None when it depends on what else comes."""
        last = self.last(key, now)
        if last is not None:
            return max(last.at + self._gap(key) - now, pace.GAP)
        if key not in self._news:
            self._news[key] = _News(now, now, next(self._shares))
        self._news[key].last = now
        return pace.GAP if self._news[key].over else None

    def wait(self, key: Key, now: float) -> float:
        """Return the seconds for which a host that was not written lately waits."""
        news = self._news.get(key)
        if news is None or news.over:
            return 0.0
        return max(min(news.last + PAUSE, news.first + news.share * self._gap(key)) - now, 0.0)

    def come(self, now: float) -> Iterable[Key]:
        """Yield the hosts that have waited, each once."""
        for key, news in self._news.items():
            if not news.over and not self.wait(key, now):
                news.over = True
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

    def _gap(self, key: Key) -> float:
        return pace.Traffic(busy=self.busy(key)).long_gap
