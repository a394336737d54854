"""Concurrency primitives: a semaphore with a timeout, and blocking work in threads that are always awaited.

A cancelled `asyncio.to_thread` leaves its thread running. The thread of a cancelled download would then clear the
folder that the next download of the same model fills.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
_BATCH_SUM, _BATCH_STEPS = 1024 * 1024, 16


class TimeoutSemaphore:
    """Semaphore of which a holder loses its permit, but not its work, after `seconds`."""

    def __init__(self, permits: int, seconds: float) -> None:
        self._permits = asyncio.Semaphore(permits)
        self._seconds = seconds

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Callable[[], None]]:
        """Hold a permit during the block, or until the yielded function is called, or until the timeout."""
        await self._permits.acquire()
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                self._permits.release()

        timer = asyncio.get_running_loop().call_later(self._seconds, release)
        try:
            yield release
        finally:
            timer.cancel()
            release()


async def in_thread(work: Callable[..., T], *args: Any, pool: Executor | None = None) -> T:
    """Return the result of blocking work. A cancelled call ends only after its thread did.

    Work that may never return needs a `pool` of its own, because the default pool is small and shared.
    """
    running = asyncio.get_running_loop().run_in_executor(pool, partial(work, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


async def in_steps(
    steps: Generator[int], report: Callable[[int], None] = lambda _: None, *, pool: Executor | None = None
) -> None:
    """Run the steps of blocking work in threads, in batches, and report the sum of each batch in the loop.

    When the call is cancelled, or `report` raises, the running batch is the last one.
    """
    with closing(_batched(steps)) as batches:
        while (count := await in_thread(next, batches, None, pool=pool)) is not None:
            report(count)


def _batched(steps: Generator[int]) -> Generator[int]:
    """Yield sums of steps, since a thread for each small file would take longer than the file."""
    total = size = 0
    with closing(steps):
        for count in steps:
            total, size = total + count, size + 1
            if total >= _BATCH_SUM or size >= _BATCH_STEPS:
                yield total
                total = size = 0
    yield total
