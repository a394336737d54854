"""Exponential backoff with jitter, like apimachinery's `wait.Backoff`. It holds no state and reads no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass

_MAX_DOUBLINGS = 32
"""Beyond any cap in use, and within the range of a float."""


@dataclass(frozen=True)
class Backoff:
    """The delays between attempts, in seconds: `base`, doubled after each failure, at most `cap`."""

    base: float
    cap: float
    jitter: float = 0.5
    """The share of a delay that is drawn at random: with 0.5, half of the delay to all of it."""

    def delay(self, failures: int, fraction: float | None = None) -> float:
        """Return the seconds to wait after this many failures in a row (1 or more).

        Parameters
        ----------
        fraction
            The random number from 0 to 1; None draws one.
        """
        longest = min(self.base * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), self.cap)
        drawn = random.random() if fraction is None else fraction  # noqa: S311  no secret depends on it
        return longest * (1 - self.jitter * (1 - drawn))
