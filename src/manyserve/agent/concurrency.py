"""Bounds on what is done in parallel, with a way out for what takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class TimeoutSemaphore:
    """Lets so many through at once; who stays longer than `seconds` still works, but does not count any more."""

    def __init__(self, places: int, seconds: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._seconds = seconds

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Callable[[], None]]:
        """Hold a place for the time of the block, until what this yields is called, or until it took too long."""
        await self._places.acquire()
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                self._places.release()

        timer = asyncio.get_running_loop().call_later(self._seconds, release)
        try:
            yield release
        finally:
            timer.cancel()
            release()
