"""Poll helpers: wait for a state, with a limit.

`eventually` is for coroutines, `eventually_sync` for threads, and `eventually_in_thread` for coroutines with a
check that blocks. A failure names the awaited state and the last value seen.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
LIMIT = 30.0
"""Seconds of `eventually`, in one process. A limit is generous: it ends a test that fails, also on a busy machine."""
THREAD_LIMIT = 60.0
"""Seconds of `eventually_in_thread`, which mostly runs kubectl."""
SYNC_LIMIT = 60.0
"""Seconds of `eventually_sync`, which mostly runs kubectl against a whole cluster."""
PAUSE = 0.005
"""Seconds between two polls of a state in this process."""
SLOW_PAUSE = 0.1
"""Seconds between two polls that start a program or ask a server."""


class NotInTime(AssertionError):
    """A state that was not reached within its limit; the text names the state and the last value seen."""


async def eventually(check: Callable[[], object], what: str = "", limit: float = LIMIT, pause: float = PAUSE) -> Any:
    """Poll until the check, plain or a coroutine function, is truthy, and return its value."""
    value: Any = None
    try:
        async with asyncio.timeout(limit) as deadline:
            while True:
                result = check()
                value = await result if inspect.isawaitable(result) else result
                if value:
                    return value
                await asyncio.sleep(pause)
    except TimeoutError as error:
        if deadline.expired():
            raise NotInTime(_failure(check, what, limit, value)) from error
        raise


def eventually_sync(check: Callable[[], T], what: str = "", limit: float = SYNC_LIMIT, pause: float = SLOW_PAUSE) -> T:
    """Poll until the check is truthy, and return its value."""
    end = time.monotonic() + limit
    while True:
        if value := check():
            return value
        if time.monotonic() > end:
            raise NotInTime(_failure(check, what, limit, value))
        time.sleep(pause)


async def eventually_in_thread(check: Callable[[], T], what: str = "", limit: float = THREAD_LIMIT) -> T:
    """Run `eventually_sync` in a thread."""
    return await asyncio.to_thread(eventually_sync, check, what, limit)


def _failure(check: Callable[[], object], what: str, limit: float, value: object) -> str:
    return f"not within {limit:g} s: {what or _source(check)}; last seen: {value!r}"


def _source(check: Callable[[], object]) -> str:
    """Return the source text of a check without a description, on one line."""
    while isinstance(check, partial):
        check = check.func
    try:
        return " ".join(inspect.getsource(check).split())
    except (OSError, TypeError):
        return repr(check)
