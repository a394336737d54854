"""`manyserve operator`, restarted as a kubelet does: after its end, or after failed liveness probes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.programs import Program, program, read

LOOK = 0.2
PROBE = 2.0
FAILURES = 3
PAUSE = 0.5
"""Seconds before a restart. A kubelet waits longer, which would only add to the figures."""


class RestartedOperator:
    """One operator with all its restarts."""

    def __init__(self, kubeconfig: Path, namespace: str, log: Path, settings: dict[str, str], *words: str) -> None:
        self.starts = 0
        self.unwell = 0
        """Number of restarts after failed liveness probes."""
        self.now: Program | None = None
        self.may_start = asyncio.Event()
        self.may_start.set()
        self._program = partial(program, kubeconfig, namespace, log, *words, settings=settings)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self.now is not None:
            self.now.process.kill()

    async def ready(self, limit: float = 60) -> None:
        """Wait until its readiness probe succeeds."""
        await eventually(self._says_ready, "the operator is ready", limit, LOOK)

    async def _says_ready(self) -> bool:
        return self.now is not None and await asyncio.to_thread(read, self.now.health, "/readyz") == "ok"

    async def keep(self) -> None:
        """Keep it running until cancelled."""
        while True:
            await self.may_start.wait()
            with self._program() as self.now:
                self.starts += 1
                await self._until_it_ends(self.now)
            self.now = None
            await asyncio.sleep(PAUSE)

    async def _until_it_ends(self, running: Program) -> None:
        """Wait for its end. Kill it after three failed liveness probes in a row, once it was alive."""
        failures, was_alive, look_at = 0, False, time.monotonic()
        while running.process.poll() is None:
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + PROBE
                well = await asyncio.to_thread(read, running.health, "/healthz") == "ok"
                was_alive = was_alive or well
                failures = 0 if well or not was_alive else failures + 1
                if failures >= FAILURES:
                    self.unwell += 1
                    return
            await asyncio.sleep(LOOK)


@asynccontextmanager
async def restarting(kept: RestartedOperator) -> AsyncIterator[RestartedOperator]:
    """Keep an operator running for a while."""
    task = asyncio.create_task(kept.keep())
    try:
        yield kept
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
