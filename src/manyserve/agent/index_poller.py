"""Coalescing poller of the server's index: periodic, single-flight, with a bounded duty cycle.

The cost of a poll grows with the number of models, and each load asks for a fresh index at its end. So one poll
serves every request that came before it began. The next poll waits for `DUTY_FACTOR` times the duration of the
last one. A thousand loads then cost a few polls, and a single load does not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

DUTY_FACTOR = 9
"""Rest after repeated work, in multiples of the work's duration: the work then takes a tenth of the time."""
_MAX_REST = 0.5  # seconds


class IndexPoller(Generic[T]):
    """Polls periodically, one request at a time."""

    def __init__(self, request: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._clock = clock
        self._requested = asyncio.Event()
        self._next: asyncio.Future[T] | None = None

    async def fresh(self) -> T:
        """Return a result that was requested after this call. Raises the error of the request."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        self._requested.set()
        return await asyncio.shield(self._next)

    async def run(self, seconds: float, on_poll: Callable[[], None]) -> None:
        """Poll until cancelled, at least every `seconds`; call `on_poll` after each result or failure."""
        while True:
            started = self._clock()
            await self._poll()
            on_poll()
            await asyncio.sleep(min(DUTY_FACTOR * (self._clock() - started), _MAX_REST))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds - (self._clock() - started)):
                    await self._requested.wait()

    async def _poll(self) -> None:
        self._requested.clear()
        waiting, self._next = self._next, None
        try:
            result = await self._request()
        except Exception as error:  # noqa: BLE001 (the callers of `fresh` get it, and the next poll follows)
            if waiting:
                waiting.set_exception(error)
                waiting.exception()  # marks it as retrieved, also if all callers were cancelled
        else:
            if waiting:
                waiting.set_result(result)
