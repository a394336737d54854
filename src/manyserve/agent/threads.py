"""Blocking work in threads that are always waited for.

A cancelled `asyncio.to_thread` leaves its thread running. The thread of a download that was dropped would then
clear the folder that the next download of the same model is just filling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Return what the work returns. When cancelled, end only after the thread did."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


async def in_steps(steps: Generator[int], tell: Callable[[int], None] = lambda _: None) -> None:
    """Take every step of blocking work in a thread, and tell after each, in the loop, what it yielded.

    When cancelled, or when `tell` raises, the step that runs is the last one.
    """
    with closing(steps):
        while (count := await in_thread(next, steps, None)) is not None:
            tell(count)
