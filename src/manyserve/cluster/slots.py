"""Sixteen writes at a time, for all hosts together.

More at once only adds latency at the API server (measured). When it cannot be reached, throttles, or does
not know us, or when another replica may be at work, the writes that have not begun are left: a thousand of
them, each with its own timeout, would hold a host for minutes. A host stands in line with sixteen of its writes,
so that another's few are not behind twenty thousand.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from manyserve.cluster.errors import ClusterError, NotLeading, Throttled, Unauthorized, Unavailable
from manyserve.cluster.manners import Condition, never

AT_ONCE = 16
Write = Callable[[], Awaitable[None]]
_HOPELESS = (NotLeading, Throttled, Unauthorized, Unavailable)


class Slots:
    """A fixed number of writes at a time."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._free = asyncio.Semaphore(at_once)
        self._in_line = 0

    @property
    def contended(self) -> bool:
        """Whether somebody waits for a slot."""
        return self._in_line > 0

    async def do(self, writes: Iterable[Write], enough: Condition = never) -> None:
        """Do all writes, or those until it is enough, and raise the first error after the last one."""
        errors = await self.take(deque(writes), enough)
        if errors:
            raise errors[0]

    async def take(self, writes: deque[Write], enough: Condition) -> list[ClusterError]:
        """Take writes away and do them until none is left or it is enough; return what went wrong."""
        errors: list[ClusterError] = []
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._at_once, len(writes))):
                group.create_task(self._some(writes, enough, errors))
        return errors

    async def _some(self, writes: deque[Write], enough: Condition, errors: list[ClusterError]) -> None:
        while writes and not enough():
            write = writes.popleft()
            self._in_line += 1
            try:
                await self._free.acquire()
            finally:
                self._in_line -= 1
            try:
                if is_hopeless(errors):
                    return
                await write()
            except ClusterError as error:
                errors.append(error)
            finally:
                self._free.release()


def is_hopeless(errors: Iterable[ClusterError]) -> bool:
    """Tell whether one of the errors says that the others will fail, too."""
    return any(isinstance(error, _HOPELESS) for error in errors)
