"""Blocking work in threads that are always waited for.

A cancelled `asyncio.to_thread` leaves its thread running. The thread of a download that was dropped would then
clear the folder that the next download of the same model is just filling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
