"""Sixteen writes at a time, for all hosts together.

More at once only adds latency at the API server (measured). Each host has its share of them, one at least, so that
another's few are not behind twenty thousand; what a host writes next, and whether it writes at all, is asked when its
turn has come and not before. When the API server cannot be reached, throttles, or does not know us, or when another
replica may be at work, the writes that have not begun are left: a thousand of them, each with its own timeout, would
hold a host for minutes. What goes after others waits for as long as they stand in line, but for a second at most.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from manyserve.cluster.errors import (
    ClusterError,
    NotLeading,
    OutOfScope,
    Pruning,
    Throttled,
    Unauthorized,
    Unavailable,
)
from manyserve.cluster.manners import Condition, never

AT_ONCE = 16
PATIENCE = 1.0
"""Seconds for which a write lets others go first that stand in line all the time."""
Write = Callable[[], Awaitable[None]]
_HOPELESS = (NotLeading, OutOfScope, Pruning, Throttled, Unauthorized, Unavailable)


@dataclass
class _Batch:
    """What one host writes."""

    left: deque[Write]
    enough: Condition
    errors: list[ClusterError] = field(default_factory=list)
    tasks: int = 0
    """How many write, or stand in line."""
    over: bool = False

    def next(self) -> Write | None:
        """Take the next write away, if there is to be one."""
        self.over = self.over or not self.left or is_hopeless(self.errors) or self.enough()
        return None if self.over else self.left.popleft()


class Slots:
    """A fixed number of writes at a time.

    Parameters
    ----------
    after
        Others', which go first.
    """

    def __init__(self, at_once: int = AT_ONCE, after: Slots | None = None) -> None:
        self._at_once = at_once
        self._after = after
        self._free = asyncio.Semaphore(at_once)
        self._batches = 0
        self._in_line = 0
        self._nobody_in_line = asyncio.Event()
        self._nobody_in_line.set()

    @property
    def contended(self) -> bool:
        """Whether somebody waits for a slot."""
        return self._in_line > 0

    @property
    def _share(self) -> int:
        return -(-self._at_once // max(self._batches, 1))

    async def do(self, writes: Iterable[Write], enough: Condition = never) -> None:
        """Do all writes, or those until it is enough, and raise the first error after the last one."""
        errors = await self.take(deque(writes), enough)
        if errors:
            raise errors[0]

    async def take(self, writes: deque[Write], enough: Condition) -> list[ClusterError]:
        """Take writes away and do them until none is left or it is enough; return what went wrong."""
        batch = _Batch(writes, enough)
        self._batches += 1
        try:
            async with asyncio.TaskGroup() as group:
                self._one_more(batch, group)
        finally:
            self._batches -= 1
        return batch.errors

    def _one_more(self, batch: _Batch, group: asyncio.TaskGroup) -> None:
        if batch.left and batch.tasks < self._share:
            batch.tasks += 1
            group.create_task(self._some(batch, group))

    async def _some(self, batch: _Batch, group: asyncio.TaskGroup) -> None:
        while not batch.over and batch.tasks <= self._share:
            await self._turn()
            try:
                write = batch.next()
                if write is not None:
                    self._one_more(batch, group)
                    await write()
            except ClusterError as error:
                batch.errors.append(error)
            finally:
                self._free.release()
        batch.tasks -= 1

    async def _turn(self) -> None:
        self._in_line += 1
        self._nobody_in_line.clear()
        try:
            if self._after is not None:
                await self._after.let_by()
            await self._free.acquire()
        finally:
            self._in_line -= 1
            if not self._in_line:
                self._nobody_in_line.set()

    async def let_by(self) -> None:
        """Wait until nobody stands in line, or for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._nobody_in_line.wait()


def is_hopeless(errors: Iterable[ClusterError]) -> bool:
    """Tell whether one of the errors says that the others will fail, too."""
    return any(isinstance(error, _HOPELESS) for error in errors)
