"""Blocking work in threads that are always waited for.

A cancelled `asyncio.to_thread` leaves its thread running. The thread of a download that was dropped would then
clear the folder that the next download of the same model is just filling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
_BATCH_SUM, _BATCH_STEPS = 1024 * 1024, 16


async def in_thread(work: Callable[..., T], *args: Any, pool: Executor | None = None) -> T:
    """Return what the work returns. When cancelled, end only after the thread did.

    Work that may hang for ever brings a `pool` of its own, since the threads of all are few.
    """
    running = asyncio.get_running_loop().run_in_executor(pool, partial(work, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


async def in_steps(
    steps: Generator[int], tell: Callable[[int], None] = lambda _: None, *, pool: Executor | None = None
) -> None:
    """Take the steps of blocking work in threads, a few at once, and tell in the loop what they yielded together.

    When cancelled, or when `tell` raises, the few that run are the last ones.
    """
    with closing(_batched(steps)) as batches:
        while (count := await in_thread(next, batches, None, pool=pool)) is not None:
            tell(count)


def _batched(steps: Generator[int]) -> Generator[int]:
    """Yield sums: a thread for each small file would take longer than the file."""
    total = taken = 0
    with closing(steps):
        for count in steps:
            total, taken = total + count, taken + 1
            if total >= _BATCH_SUM or taken >= _BATCH_STEPS:
                yield total
                total = taken = 0
    yield total
