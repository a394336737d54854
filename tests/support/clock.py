"""Clock that tests set, for code with a clock as an argument."""

from __future__ import annotations

from collections import deque


class FakeClock:
    """Seconds that change only when a test sets `now`, or after a read when further readings are given."""

    def __init__(self, now: float = 0.0, *later: float) -> None:
        self.now = now
        self._later = deque(later)

    def __call__(self) -> float:
        now = self.now
        if self._later:
            self.now = self._later.popleft()
        return now
