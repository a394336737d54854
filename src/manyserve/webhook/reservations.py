"""Reservations of memory that was admitted a moment ago, and that no informer shows yet.

Without them, a folder of models that is applied at once would be admitted whole: each review would read the host as it
was before all of them. A reservation ends when the informer shows the object, and after 10 s (`LIFETIME`) in any case,
because an admitted request may still fail elsewhere. Reservations are local to this process. Two replicas may still
admit one model too many; the operator judges again, and that model waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from manyserve.webhook.allocations import Allocation, Allocations

LIFETIME = 10.0
"""Seconds."""


class Reservations:
    """Allocations that expire. All have the same lifetime, so the oldest expires first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.ledger = Allocations()
        self._clock = clock
        self._ends: deque[tuple[float, str]] = deque()
        self._end_of: dict[str, float] = {}

    def reserve(self, uid: str, allocation: Allocation) -> None:
        """Reserve memory for a model, in place of its earlier reservation."""
        end = self._clock() + LIFETIME
        self.ledger.put(uid, allocation)
        self._end_of[uid] = end
        self._ends.append((end, uid))

    def seen(self, uid: str) -> None:
        """End a reservation, since the informer shows the model now."""
        self.ledger.drop(uid)
        self._end_of.pop(uid, None)

    def expire(self) -> None:
        """Remove the reservations that are too old."""
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            end, uid = self._ends.popleft()
            if self._end_of.get(uid) == end:  # else it was renewed or seen meanwhile
                self.seen(uid)

    def __len__(self) -> int:
        return len(self._ends)
