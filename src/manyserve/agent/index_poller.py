"""The pace of the looks at the server: regular, at once when somebody waits for one, and never most of the work.

A look costs the more, the more models there are, and after each load somebody wants to know what the server
makes of it. So a look is shared by all who ask for one before it begins, and the next one waits for a few times
as long as the last one took: a thousand loads cost a few looks, and a single one does not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

DUTY_FACTOR = 9
"""The rest after work that is repeated, in times of what the work took: it then takes a tenth of the time."""
_LONGEST_REST = 0.5


class IndexPoller(Generic[T]):
    """Asks again and again, one question at a time."""

    def __init__(self, ask: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._wanted = asyncio.Event()
        self._next: asyncio.Future[T] | None = None

    async def fresh(self) -> T:
        """Return an answer that was asked for after this call. Raises what the asking raises."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        self._wanted.set()
        return await asyncio.shield(self._next)

    async def run(self, seconds: float, after: Callable[[], None]) -> None:
        """Ask for ever, at least every `seconds`; call `after` after each answer or failure."""
        while True:
            began = self._clock()
            await self._look()
            after()
            await asyncio.sleep(min(DUTY_FACTOR * (self._clock() - began), _LONGEST_REST))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds - (self._clock() - began)):
                    await self._wanted.wait()

    async def _look(self) -> None:
        self._wanted.clear()
        waiting, self._next = self._next, None
        try:
            found = await self._ask()
        except Exception as error:  # noqa: BLE001 (whoever waits is told; the next look comes)
            if waiting:
                waiting.set_exception(error)
                waiting.exception()  # also if nobody waits any more
        else:
            if waiting:
                waiting.set_result(found)
