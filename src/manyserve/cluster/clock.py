"""The two clocks: `utc_now` for dates in objects, `running_time` for leases."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time of day. No wait and no deadline depends on it."""
    return datetime.now(UTC)


def running_time() -> float:
    """Return the seconds of a monotonic clock that on Linux also counts while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
