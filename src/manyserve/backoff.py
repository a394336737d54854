"""Exponential backoff with jitter, like apimachinery's `wait.Backoff`. It holds no state and reads no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass

_MAX_DOUBLINGS = 32
"""More doublings than any cap needs, and few enough for a float."""


@dataclass(frozen=True)
class Backoff:
    """Delays between attempts, in seconds: `base`, doubled after each failure, at most `cap`."""

    base: float
    cap: float
    jitter: float = 0.5
    """The random share of a delay: 0.5 means 50 to 100 % of the delay."""

    def delay(self, failures: int, fraction: float | None = None) -> float:
        """Return the seconds to wait after this many consecutive failures (1 or more).

        Parameters
        ----------
        fraction
            A random number from 0 to 1; None draws one.
        """
        longest = min(self.base * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), self.cap)
        drawn = random.random() if fraction is None else fraction  # noqa: S311  no secret depends on it
        return longest * (1 - self.jitter * (1 - drawn))
