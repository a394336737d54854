"""Semaphore that is fair to addresses: a free permit goes to the waiting address with the least use so far.

This is start-time fair queuing, with an address as the flow: the API server queues the requests of its own clients in
the same way. An address with a thousand waiting requests delays another one by the one that is under way.

An address takes another permit only while it holds fewer than are free, as switches share the memory of their ports.
So one address holds half of the permits at most, a second one half of the rest, and a third one still has a permit.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque


class FairSemaphore:
    """Semaphore for requests of many addresses."""

    def __init__(self, permits: int) -> None:
        self._permits = permits
        self._free = permits
        self._held = Counter[str]()
        """Permits of each address."""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._used: dict[str, float] = {}
        """Use of the addresses that had more than `_least`; the others count as if they had used that."""
        self._least = 0.0

    def locked(self, address: str) -> bool:
        """Return whether this address must wait for a permit."""
        return self._held[address] >= self._free

    async def acquire(self, address: str) -> None:
        """Take a permit, or wait for one."""
        if not self.locked(address):
            self._take(address)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the permit was given at the same moment
                self.release(address, 0.0)
            raise

    def release(self, address: str, use: float) -> None:
        """Give a permit back, with the time or work that it was used for."""
        self._used[address] = self._start(address) + use
        self._free += 1
        self._held[address] -= 1
        self._held += Counter()  # without the addresses that hold none
        while may_take := [each for each in self._waiting if not self.locked(each)]:
            self._give(min(may_take, key=self._start))  # of several, the one that has waited longest
        if self._free == self._permits:
            self._used, self._least = {}, 0.0

    def _take(self, address: str) -> None:
        self._free -= 1
        self._held[address] += 1

    def _start(self, address: str) -> float:
        return max(self._used.get(address, 0.0), self._least)

    def _give(self, address: str) -> None:
        """Give a permit to the first request of an address."""
        turns = self._waiting[address]
        turn = turns.popleft()
        if not turns:
            del self._waiting[address]
        if not turn.cancelled():
            self._take(address)
            self._least = self._start(address)
            self._used = {each: use for each, use in self._used.items() if use > self._least}
            turn.set_result(None)
