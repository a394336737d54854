"""One download of the feedback queue in `download_slots`, and the queue of those that wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manyserve.agent.download_slots import DownloadSlots

_HALF_LIFE = 10.0  # seconds; a burst at the start counts little after a minute
_LN_2 = 0.693


class Slot:
    """The place of one download, and its rate: an average with exponential decay."""

    def __init__(self, slots: DownloadSlots, origin: str) -> None:
        self.origin = origin
        self.granted: asyncio.Future[None]
        self.timeout: asyncio.Timeout | None = None
        self.queued = self.since = 0.0
        self.gave_up = False
        self._slots = slots
        self._recent = self._counted = 0.0

    def begin(self, now: float) -> None:
        """Let the download begin or go on, with a new average."""
        self.since = self._counted = now
        self._recent = 0.0
        self.granted.set_result(None)

    def count(self, size: int) -> None:
        """Count bytes that arrived."""
        now = self._slots.clock()
        self._recent = self._recent * 0.5 ** ((now - self._counted) / _HALF_LIFE) + size
        self._counted = now

    def rate(self, now: float) -> float:
        """Return the average of bytes in a second."""
        recent = self._recent * 0.5 ** ((now - self._counted) / _HALF_LIFE)
        weight = 1 - 0.5 ** ((now - self.since) / _HALF_LIFE)
        return recent * _LN_2 / _HALF_LIFE / weight if weight else 0.0

    @property
    def is_held(self) -> bool:
        """The slot is granted, and not given back."""
        return self._slots.holds(self)

    def release(self) -> None:
        """Give the slot back before the end of the work."""
        self._slots.leave(self)

    async def change(self, *, is_large: bool) -> None:
        """Wait for a slow slot if the download is large, and for any one if this one is not held."""
        await self._slots.change(self, is_large=is_large)


class Waiting:
    """Waiting downloads by origin. The origins, and the downloads of each, are in the order of their arrival."""

    def __init__(self) -> None:
        self._by_origin: dict[str, dict[Slot, None]] = {}

    def __bool__(self) -> bool:
        """Return whether any download waits."""
        return bool(self._by_origin)

    def add(self, slot: Slot) -> None:
        """Add a download."""
        self._by_origin.setdefault(slot.origin, {})[slot] = None

    def discard(self, slot: Slot) -> None:
        """Remove a download, if it waits."""
        slots = self._by_origin.get(slot.origin, {})
        slots.pop(slot, None)
        if not slots:
            self._by_origin.pop(slot.origin, None)

    def first(self, held: Counter[str]) -> Slot:
        """Return the first download of the origin that holds the fewest slots."""
        without = (origin for origin in self._by_origin if not held[origin])
        origin = next(without, None) or min(self._by_origin, key=lambda origin: held[origin])
        return next(iter(self._by_origin[origin]))

    def pop(self, held: Counter[str]) -> Slot:
        """Remove and return the first download of the next origin."""
        slot = self.first(held)
        slots = self._by_origin.pop(slot.origin)
        del slots[slot]
        if slots:
            self._by_origin[slot.origin] = slots  # behind the others
        return slot


def origin_of(uri: str) -> str:
    """Return the scheme and the host of a URI, or its bucket, claim or organisation."""
    return "/".join(uri.split("/", 3)[:3])
