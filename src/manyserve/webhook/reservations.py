"""Memory that was admitted a moment ago, and that no informer shows yet.

Without it, a folder of models applied at once would be admitted whole: each would see the host as it was
before all of them. A reservation ends when the informer shows the object, and after ten seconds in any case,
because a request that we admit may still fail elsewhere. It lives in this process alone: two replicas may
still admit one too many, and the operator, which judges again, lets that one wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from manyserve.webhook.ledger import Ledger, Share

LIFETIME = 10.0
"""Seconds."""


class Reservations:
    """Shares that end by themselves. All have the same lifetime, so the oldest is the first to end."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.ledger = Ledger()
        self._clock = clock
        self._ends: deque[tuple[float, str]] = deque()
        self._end_of: dict[str, float] = {}

    def reserve(self, uid: str, share: Share) -> None:
        """Reserve a share for a model; asked again for the same model, it is reserved once."""
        end = self._clock() + LIFETIME
        self.ledger.put(uid, share)
        self._end_of[uid] = end
        self._ends.append((end, uid))

    def seen(self, uid: str) -> None:
        """End a reservation, since the informer shows the model now."""
        self.ledger.drop(uid)
        self._end_of.pop(uid, None)

    def expire(self) -> None:
        """End what is too old."""
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            end, uid = self._ends.popleft()
            if self._end_of.get(uid) == end:  # else it was renewed or seen meanwhile
                self.seen(uid)

    def __len__(self) -> int:
        return len(self._ends)
