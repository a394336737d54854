"""The time on the wall, for those who are not given another."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time on the wall."""
    return datetime.now(UTC)
