"""Looking again at the source of a loaded model: `refreshInterval` says how often. Pure.

A look that fails disturbs nothing: what is served is served on, and the next look is a retry like any other.
"""

from __future__ import annotations

from functools import lru_cache

from manyserve.agent.retry import RetryState
from manyserve.api.duration import SHORTEST_REFRESH, parse_duration
from manyserve.api.modelconfig import Entry

NEVER = float("inf")


@lru_cache(maxsize=1024)
def interval(text: str | None) -> float:
    """Return the seconds between two looks, infinity for none. What cannot be read asks for none."""
    try:
        return max(SHORTEST_REFRESH, parse_duration(text)) if text else NEVER
    except ValueError:
        return NEVER


def is_wanted(entry: Entry) -> bool:
    """Tell whether the source is to be looked at again at all."""
    return interval(entry.model_spec.refresh_interval) < NEVER


def next_refresh(entry: Entry, memory: RetryState | None) -> float:
    """Return the time of the next look at the source of a loaded model; without a look before, it is due."""
    every = interval(entry.model_spec.refresh_interval)
    if every == NEVER:
        return NEVER
    if memory is None or memory.digest != entry.digest or memory.checked_at is None or memory.failed:
        return 0.0
    return memory.checked_at + every
