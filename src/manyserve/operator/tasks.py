"""Long-running tasks of the operator. An ended one makes `/healthz` fail."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


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
