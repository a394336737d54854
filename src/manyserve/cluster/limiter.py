"""Limits the writes in flight. Batches wait with one of their writes at a time, so that they are served in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from manyserve.backoff import Backoff
from manyserve.cluster.errors import ClusterError, is_fatal

MAX_IN_FLIGHT = 16  # writes; more at once only add latency at the API server (measured)
BACKOFF = Backoff(base=0.5, cap=60.0, jitter=0.25)  # seconds between attempts at a failing host or status
Write = Callable[[], Awaitable[None]]


class Limiter(asyncio.Semaphore):
    """Limits the writes in flight."""

    def __init__(self, limit: int = MAX_IN_FLIGHT) -> None:
        super().__init__(limit)

    def start(self, group: asyncio.TaskGroup, write: Coroutine[Any, Any, None]) -> None:
        """Begin a write for which a permit was acquired, and release it at the end."""
        group.create_task(write).add_done_callback(lambda _: self.release())

    async def run(self, writes: Iterable[Write]) -> None:
        """Do all writes, and raise the first error after the last one; after a fatal error no other write begins."""
        failed: list[ClusterError] = []
        async with asyncio.TaskGroup() as group:
            for write in writes:
                await self.acquire()
                if any(map(is_fatal, failed)):
                    self.release()
                    break
                self.start(group, self._collect(write, failed))
        if failed:
            raise failed[0]

    async def _collect(self, write: Write, failed: list[ClusterError]) -> None:
        try:
            await write()
        except ClusterError as error:
            failed.append(error)
