"""Token bucket for the writes of each object, so that a fight with another controller costs little.

Another controller may change a field back after each of our writes. Without a limit both write as fast as the API
server answers. A write without a token is a refusal of its object: the plan goes on, and the host's status says so.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from manyserve.cluster.errors import TooManyWrites

MOST_OBJECTS = 20_000
"""Objects with a bucket at most; the one without a write for the longest time is forgotten first."""


class Rate(NamedTuple):
    """Writes of one object: so many at once, and then so many a second."""

    burst: float
    per_second: float


STATUS = Rate(200, 2.0)
"""A host that loads thousands of models has a new status twice a second."""
CONTENT = Rate(60, 1.0)
"""`models.json` is written once a second at most, and an annotation of a pod likewise."""
CHILD = Rate(20, 0.1)
"""Other children change by hand, or with the host: twenty changes in a row, and then one in ten seconds."""
_CONTENT_PATHS = ("/configmaps/", "/pods/")


class WriteBudget:
    """Tokens for the writes of each object, by its path.

    Parameters
    ----------
    clock
        Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tokens, and the time at which there were so many, by path."""

    def take(self, verb: str, path: str) -> None:
        """Take a token for a write. A creation has a name of its own, and takes none. Raises `TooManyWrites`."""
        if verb == "POST":
            return
        rate, now = rate_of(path), self._clock()
        tokens, since = self._buckets.pop(path, (rate.burst, now))
        tokens = min(rate.burst, tokens + (now - since) * rate.per_second)
        left = tokens if tokens < 1 else tokens - 1
        self._buckets[path] = left, now
        while len(self._buckets) > MOST_OBJECTS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            seconds = (1 - tokens) / rate.per_second
            raise TooManyWrites(
                f"not written: it was written {rate.burst:.0f} times in a row, so another controller may change it "
                f"back; the next write is due in {seconds:.0f} s",
                retry_after=seconds,
            )


def rate_of(path: str) -> Rate:
    """Return the rate for the path of an object."""
    if path.endswith("/status"):
        return STATUS
    return CONTENT if any(part in path for part in _CONTENT_PATHS) else CHILD
