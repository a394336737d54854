"""Reservations of memory for models that are admitted and not in the informer yet.

Without them, a folder of models that is applied at once would be admitted whole, since each review would see the host
without the others. A reservation ends when the informer has the object, and after 10 s (`LIFETIME`) in any case,
because an admitted request may still fail elsewhere. Reservations are local to a process, so two replicas may admit one
model too many. The operator checks again, and that model waits (`docs/decisions/0007-the-webhook-fails-open.md`).
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
        self.allocations = Allocations()
        self._clock = clock
        self._ends: deque[tuple[float, str]] = deque()
        self._end_of: dict[str, float] = {}

    def reserve(self, uid: str, allocation: Allocation) -> None:
        """Reserve memory for a model, in place of its earlier reservation."""
        end = self._clock() + LIFETIME
        self.allocations.put(uid, allocation)
        self._end_of[uid] = end
        self._ends.append((end, uid))

    def release(self, uid: str) -> None:
        """End a reservation, since the informer has the model now."""
        self.allocations.drop(uid)
        self._end_of.pop(uid, None)

    def expire(self) -> None:
        """Remove the reservations that are too old."""
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            end, uid = self._ends.popleft()
            if self._end_of.get(uid) == end:  # else it was renewed or released
                self.release(uid)

    def __len__(self) -> int:
        return len(self._ends)
