"""Long-running tasks of the operator. An ended one makes `/healthz` fail."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

from manyserve.cluster.state import ClusterState
from manyserve.operator.workqueue import WorkQueue

RESYNC_SECONDS = 600.0


class Tasks:
    """Tasks that run until they are stopped."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a task."""
        self._tasks.append(asyncio.create_task(work, name=name))

    @property
    def ended(self) -> list[str]:
        """Names of the tasks that ended unexpectedly."""
        return [task.get_name() for task in self._tasks if task.done()]

    async def stop(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


async def resync(state: ClusterState, queue: WorkQueue, period: float = RESYNC_SECONDS) -> None:
    """Enqueue every host once in each period, in case an event was lost unnoticed, until cancelled.

    Before each period all live objects are frozen, so that the garbage collector skips them. They hold no cycles, and a
    collection over 20,000 models stops the process for half a second (measured). References still free them.
    """
    while True:
        gc.freeze()
        await asyncio.sleep(period)
        queue.prune()
        state.enqueue_all()
