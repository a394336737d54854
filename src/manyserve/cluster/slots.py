"""Sixteen writes at a time, for all hosts together.

More at once only adds latency at the API server (measured). When it cannot be reached, throttles, or does
not know us, or when another replica may be at work, the writes that have not begun are left: a thousand of
them, each with its own timeout, would hold a host for minutes. A host stands in line with sixteen of its writes,
so that another's few are not behind twenty thousand.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import nullcontext

from manyserve.cluster.errors import ClusterError, NotLeading, Throttled, Unauthorized, Unavailable
from manyserve.cluster.manners import Condition, never

AT_ONCE = 16
NARROW = 2
"""At a time while users ask much, too: half of what the API server can do is theirs, or more."""
_Write = Callable[[], Awaitable[None]]
_HOPELESS = (NotLeading, Throttled, Unauthorized, Unavailable)


class Slots:
    """A fixed number of writes at a time."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._free = asyncio.Semaphore(at_once)
        self._narrow = asyncio.Semaphore(NARROW)

    async def do(self, writes: Sequence[_Write], enough: Condition = never, narrow: Condition = never) -> None:
        """Do all writes, or those until it is enough, and raise the first error after the last one.

        While it is `narrow`, they give way to what users ask of the API server.
        """
        errors: list[ClusterError] = []
        left = itertools.takewhile(lambda _write: not enough(), writes)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._at_once, len(writes))):
                group.create_task(self._some(left, errors, narrow))
        if errors:
            raise errors[0]

    async def _some(self, left: Iterator[_Write], errors: list[ClusterError], narrow: Condition) -> None:
        for write in left:
            async with self._narrow if narrow() else nullcontext(), self._free:
                if any(isinstance(error, _HOPELESS) for error in errors):
                    return
                try:
                    await write()
                except ClusterError as error:
                    errors.append(error)
