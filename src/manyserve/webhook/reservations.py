"""Reservations of memory for admitted models that the informer does not show yet.

Without them, a folder of models that is applied at once would be admitted whole, since each review would see the host
without the others. They are local to a process, so two replicas may admit one model too many. The operator checks
again, and that model waits (`docs/decisions/0007-the-webhook-fails-open.md`).

A client that is no API server may post forged reviews. So a reservation is believed for 2 s (`LIFETIME`). It ends
earlier when the informer shows the model with that much more memory, or its deletion. One that expires suspends the
reservations of its host for a minute (`SUSPENSION`): the webhook then goes by the informer alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from manyserve.api.names import Key
from manyserve.webhook.allocations import Allocation, Allocations

LIFETIME = 2.0
"""Seconds of a reservation; the informer shows a stored model within some milliseconds."""
SUSPENSION = 60.0
"""Seconds without reservations on a host after one of them expired."""
MAX_PER_HOST = 256
"""Reservations on one host; a folder of models is applied at some ten models a second."""
MAX_RESERVATIONS = 4096
"""Reservations on all hosts: some megabytes."""


class Reservations:
    """Allocations that expire. All have the same lifetime, so the oldest expires first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.allocations = Allocations()
        self._clock = clock
        self._ends: deque[tuple[float, str]] = deque()
        self._end_of: dict[str, float] = {}
        self._suspended: dict[Key, float] = {}
        """The end of each suspension, the earliest first."""

    def reserve(self, uid: str, allocation: Allocation) -> None:
        """Reserve memory for a model, in place of its earlier reservation. The end of that one stays."""
        if not self._accepts(uid, allocation.host):
            return
        self.allocations.put(uid, allocation)
        if uid not in self._end_of:
            end = self._end_of[uid] = self._clock() + LIFETIME
            self._ends.append((end, uid))

    def confirm(self, uid: str, host: Key, grown: int) -> None:
        """Reduce a reservation by the bytes that the informer shows the model to have grown on a host."""
        reserved = self.allocations.get(uid)
        if reserved is None or reserved.host != host or grown <= 0:
            return
        left = reserved.memory - grown
        if left <= 0:
            self.release(uid)
        else:
            self.allocations.put(uid, replace(reserved, share=replace(reserved.share, memory=left)))

    def release(self, uid: str) -> None:
        """End a reservation."""
        self.allocations.drop(uid)
        self._end_of.pop(uid, None)

    def expire(self) -> None:
        """Remove the reservations and the suspensions that are too old."""
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            end, uid = self._ends.popleft()
            if self._end_of.get(uid) == end:  # else it was released
                self._suspend(uid, now)
                self.release(uid)
        while self._suspended and next(iter(self._suspended.values())) <= now:
            del self._suspended[next(iter(self._suspended))]

    def _accepts(self, uid: str, host: Key) -> bool:
        if host in self._suspended:
            return False
        is_known = self.allocations.get(uid) is not None
        is_below = len(self.allocations.allocations(host)) < MAX_PER_HOST and len(self._end_of) < MAX_RESERVATIONS
        return is_known or is_below

    def _suspend(self, uid: str, now: float) -> None:
        allocation = self.allocations.get(uid)
        if allocation is not None:
            self._suspended.pop(allocation.host, None)
            self._suspended[allocation.host] = now + SUSPENSION

    def __len__(self) -> int:
        return len(self._ends)
