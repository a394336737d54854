"""When each host is due, without a clock or a task: the time is always given.

A touched host is due a moment later, so that changes that come together are one run, and never twice within
the gap. What is touched while it runs is due once more after. A failed run comes back after a growing pause;
a touch may bring it forward, since a change may have healed it, but no nearer than a few seconds when it has
failed often, or a storm of changes would be a storm of failures.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

from manyserve.api.names import Key


@dataclass(frozen=True)
class Pace:
    """How fast a host may be run again, in seconds."""

    debounce: float = 0.03
    gap: float = 0.2
    gap_a_plan: float = 3.0
    """Times what the last plan took: a host of ten thousand models that changes all the time is not all we plan."""
    first_backoff: float = 0.5
    longest_backoff: float = 60.0
    longest_when_touched: float = 5.0


PACE = Pace()


@dataclass
class _Entry:
    due: float | None = None
    running: bool = False
    started: float = float("-inf")
    gap: float = 0.0
    failures: int = 0
    not_before: float = float("-inf")
    """Until then not even a touch brings it back."""
    hasty: bool = False
    """It comes next whatever its last plan took."""


class Schedule:
    """Which host is due when."""

    def __init__(self, pace: Pace = PACE, jitter: Callable[[], float] = random.random) -> None:
        self._pace = pace
        self._jitter = jitter
        self._entries: dict[Key, _Entry] = {}
        self._heap: list[tuple[float, Key]] = []

    def __len__(self) -> int:
        """Return how many hosts wait for a run."""
        return sum(1 for entry in self._entries.values() if entry.due is not None)

    def touch(self, key: Key, now: float, after: float = 0.0) -> None:
        """Have a host run soon, or at the latest after so many seconds."""
        entry = self._entries.setdefault(key, _Entry())
        self._at(key, entry, max(now + max(self._pace.debounce, after), self._soonest(entry), entry.not_before))

    def hasten(self, key: Key, now: float) -> None:
        """Have a host run soon, whatever its last plan took."""
        entry = self._entries.setdefault(key, _Entry())
        entry.hasty = True
        self.touch(key, now)

    def is_due(self, key: Key, now: float) -> bool:
        """Tell whether it is a host's turn, also while it runs."""
        entry = self._entries.get(key)
        return entry is not None and entry.due is not None and entry.due <= now

    def next_due(self) -> float | None:
        """Return when the next host is due that does not run."""
        while self._heap and not self._is_current(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> Key | None:
        """Return a host that is due, and mark it as running."""
        due = self.next_due()
        if due is None or due > now:
            return None
        key = heapq.heappop(self._heap)[1]
        entry = self._entries[key]
        entry.due, entry.running, entry.started, entry.hasty = None, True, now, False
        return key

    def done(self, key: Key, now: float, look_again_after: float | None = None, planning: float = 0.0) -> None:
        """Note that a run went well, when time alone may change something, and how long its plan took."""
        entry = self._entries[key]
        entry.gap = self._pace.gap_a_plan * planning
        entry.running, entry.failures, entry.not_before = False, 0, float("-inf")
        waiting, entry.due = entry.due, None
        if waiting is not None:
            self._at(key, entry, max(waiting, self._soonest(entry)))
        if look_again_after is not None:
            self._at(key, entry, max(now + look_again_after, self._soonest(entry)))

    def failed(self, key: Key, now: float, retry_after: float | None = None) -> float:
        """Note that a run failed, and return the seconds until the next."""
        entry = self._entries[key]
        pause = min(self._pace.first_backoff * 2.0 ** min(entry.failures, 16), self._pace.longest_backoff)
        pause = max(pause * (0.75 + 0.25 * self._jitter()), retry_after or 0.0)
        soonest = max(min(pause, self._pace.longest_when_touched), retry_after or 0.0)
        touched = entry.due is not None
        entry.running, entry.due = False, None
        entry.failures, entry.not_before = entry.failures + 1, now + soonest
        self._at(key, entry, now + (soonest if touched else pause))
        return pause

    def forget_idle(self, now: float, seconds: float = 60.0) -> None:
        """Forget hosts that have long had nothing to do; they may be gone."""
        for key, entry in list(self._entries.items()):
            if entry.due is None and not entry.running and now - entry.started > seconds:
                del self._entries[key]

    def _soonest(self, entry: _Entry) -> float:
        return entry.started + max(self._pace.gap, 0.0 if entry.hasty else entry.gap)

    def _at(self, key: Key, entry: _Entry, due: float) -> None:
        if entry.due is not None and entry.due <= due:
            return
        entry.due = due
        if not entry.running:
            heapq.heappush(self._heap, (due, key))

    def _is_current(self, due: float, key: Key) -> bool:
        entry = self._entries.get(key)
        return entry is not None and not entry.running and entry.due == due
