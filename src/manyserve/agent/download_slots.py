"""Download slots: a two-level feedback queue, with fair shares of the origins, over all downloads of the agent.

A download begins in one of a few fast slots: the source is listed there. If it is large then, it waits for a slow slot,
before its first byte. While others wait for a fast slot, a smaller one

- moves to a slow slot after a slice, and goes on without an interruption;
- gives up after `_PATIENCE` slices if no slow slot is free and it has less than `SLOW_BYTES` a second;
- gives up after `_MAX_SLICES` slices in any case, if no slow slot is free.

It keeps the slot, and a download in a slow slot gives up in its place, if that one has less than half its rate.
While a large download waits for a slow slot, one with less than `SLOW_BYTES` a second gives up its slow slot. So does
one of an origin that would still have as many slots as that of the large one, after `_MAX_SLICES` slices. If that one's
origin has no slot at all, the least rate rises by `SLOW_BYTES` with each `_PATIENCE` slices of its wait, up to
`FAST_BYTES`. So to keep the slots takes more and more bandwidth, however many origins there are.
A download that gave up, or that stalled, waits for a slow slot at its next try, and nothing gives up for it.
Of the waiting downloads, one of the origin with the fewest slots is next. The fast and slow slots bound all downloads.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from manyserve.agent.download import DownloadError
from manyserve.agent.download_slot import Slot, Waiting, origin_of

SLOW_BYTES = 64 * 1024
FAST_BYTES = 4 * 1024**2
"""A second: sixteen such downloads take half of a link of 1 Gbit/s, and may go on."""
LARGE_BYTES = 64 * 1024 * 1024
"""A smaller download loses little when it gives up."""
_PATIENCE, _MAX_SLICES = 5, 30
_TICKS = 4  # checks in each slice while downloads wait


class DownloadSlots:
    """The slots of one agent. `seconds` is the slice."""

    def __init__(self, fast: int, slow: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._sizes = (fast, slow)
        self._seconds = seconds
        self._fast: dict[Slot, None] = {}
        self._slow: dict[Slot, None] = {}
        self._new, self._large, self._known = Waiting(), Waiting(), Waiting()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def acquire(self, uri: str, *, is_slow: bool = False) -> AsyncIterator[Slot]:
        """Hold a slot during the block. Raises `DownloadError` when the download has to give up.

        `is_slow`: it gave up or stalled before.
        """
        slot = Slot(self, origin_of(uri))
        try:
            await self._enter(slot, self._known if is_slow else self._new)
            async with asyncio.timeout(None) as slot.timeout:
                yield slot
        except TimeoutError as error:
            if not slot.gave_up:
                raise
            sentence = f"{uri} comes slowly, and other models waited for its place; it is tried again beside them"
            raise DownloadError(sentence, reason="slow") from error
        finally:
            self.leave(slot)

    async def change(self, slot: Slot, *, is_large: bool) -> None:
        """Wait for a slow slot if the download is large, and for any one if the slot is not held."""
        if slot in self._slow or (slot in self._fast and not is_large):
            return
        self._fast.pop(slot, None)
        await self._enter(slot, self._large if is_large else self._new)

    async def _enter(self, slot: Slot, waiting: Waiting) -> None:
        slot.granted, slot.queued = asyncio.get_running_loop().create_future(), self.clock()
        waiting.add(slot)
        self._schedule()
        await slot.granted

    def holds(self, slot: Slot) -> bool:
        """Return whether the slot is granted, and not given back."""
        return slot in self._fast or slot in self._slow

    def leave(self, slot: Slot) -> None:
        """Free the slot, if it is held or waited for."""
        self._fast.pop(slot, None)
        self._slow.pop(slot, None)
        for waiting in (self._new, self._large, self._known):
            waiting.discard(slot)
        self._schedule()

    def _schedule(self) -> None:
        """Grant and free slots as long as any rule applies, and check again while other slots may give up."""
        while self._grant() or self._preempt():
            pass
        if self._timer is None and (self._new or self._large):
            self._timer = asyncio.get_running_loop().call_later(self._seconds / _TICKS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._schedule()

    def _grant(self) -> bool:
        """Grant one free slot."""
        fast_free, slow_free = self._free()
        if fast_free and self._new:
            return self._begin(self._new, self._fast)
        if slow_free and (self._large or self._known):
            return self._begin(self._large or self._known, self._slow)
        return False

    def _begin(self, waiting: Waiting, slots: dict[Slot, None]) -> bool:
        slot = waiting.pop(self._held())
        if not slot.granted.done():  # it was cancelled otherwise
            slots[slot] = None
            slot.begin(self.clock())
        return True

    def _held(self) -> Counter[str]:
        """Return the number of slots that each origin holds."""
        return Counter(slot.origin for slot in (*self._fast, *self._slow))

    def _preempt(self) -> bool:
        """Free one slot for a download that waits: by a move, else by a download that gives up."""
        now, (_, slow_free) = self.clock(), self._free()
        for slot in self._fast if self._new else ():
            if slow_free and self._slices(slot, now) >= 1:
                del self._fast[slot]
                self._slow[slot] = None
                return True
            if self._give_up(slot, self._slower(slot, now), now):
                return True
        if slow_free or not self._large:
            return False
        return self._preempt_for_large(now)

    def _preempt_for_large(self, now: float) -> bool:
        """Free a slow slot for the first large download, beginning with the slowest one."""
        held = self._held()
        large = self._large.first(held)
        share = held[large.origin] + 1
        waited = (now - large.queued) / self._seconds
        least_rate = min(SLOW_BYTES * waited / _PATIENCE, FAST_BYTES) if share == 1 else 0
        slow = sorted(self._slow, key=lambda slot: slot.rate(now))
        return any(
            self._give_up(slot, slot, now, is_late=held[slot.origin] > share or slot.rate(now) < least_rate)
            for slot in slow
        )

    def _slices(self, slot: Slot, now: float) -> float:
        return (now - slot.since) / self._seconds

    def _slower(self, slot: Slot, now: float) -> Slot:
        """Return the slowest download in a slow slot if it has less than half the rate, else the given one."""
        slowest = min(self._slow, key=lambda slot: slot.rate(now), default=slot)
        return slowest if 2 * slowest.rate(now) < slot.rate(now) else slot

    def _give_up(self, holder: Slot, slot: Slot, now: float, *, is_late: bool = True) -> bool:
        """Let a download give up, if the holder of the wanted slot has had its time. Return whether it does."""
        slices = self._slices(holder, now)
        is_due = slices >= _PATIENCE and (slot.rate(now) < SLOW_BYTES or (is_late and slices >= _MAX_SLICES))
        if slot.timeout is None or not is_due:
            return False
        slot.gave_up = True
        slot.timeout.reschedule(asyncio.get_running_loop().time())
        self._fast.pop(slot, None)
        self._slow.pop(slot, None)
        return True

    def _free(self) -> tuple[int, int]:
        fast, slow = self._sizes
        return fast - len(self._fast), slow - len(self._slow)
