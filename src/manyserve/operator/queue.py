"""The queue: several hosts at a time, each host one run at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from manyserve.api.names import Key
from manyserve.cluster.errors import ClusterError
from manyserve.operator import metrics
from manyserve.operator.schedule import Schedule

AT_ONCE = 256
"""Runs; most of them wait for their turn to tell something, and others' `models.json` need not wait for that."""
STUCK = 600.0
"""Seconds in which something begins, ends or is written while anything is to be done, whatever the API server does."""
OVERDUE = 60.0


@dataclass(frozen=True)
class Ran:
    """What a run says of its host."""

    look_again_after: float | None = None
    """Seconds, if time alone may change it."""
    planning: float = 0.0
    """Seconds of processor time that it took to plan."""


Run = Callable[[Key], Awaitable[Ran]]
"""Reconciles one host."""

_log = logging.getLogger(__name__)


class Queue:
    """Runs what is touched.

    Parameters
    ----------
    clock
        Seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        at_once: int = AT_ONCE,
        schedule: Schedule | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._at_once = at_once
        self._schedule = Schedule() if schedule is None else schedule  # an empty one is false
        self._clock = clock
        self._changed = asyncio.Event()
        self._running = 0
        self._progress = clock()
        self.serves = False
        """Whether what is touched is run."""

    def __len__(self) -> int:
        """Return how many hosts wait for a run."""
        return len(self._schedule)

    def touch(self, key: Key, after: float = 0.0) -> None:
        """Have a host run soon, or at the latest after so many seconds."""
        self._schedule.touch(key, self._clock(), after)
        self._changed.set()

    def hasten(self, key: Key) -> None:
        """Have a host run soon, whatever its last plan took."""
        self._schedule.hasten(key, self._clock())
        self._changed.set()

    def is_due(self, key: Key) -> bool:
        """Tell whether it is the turn of a host that runs once more."""
        return self._schedule.is_due(key, self._clock())

    def forget_idle(self) -> None:
        """Forget hosts that have long had nothing to do."""
        self._schedule.forget_idle(self._clock())

    def note_progress(self) -> None:
        """Note that a run is not stuck: it has written something."""
        self._progress = self._clock()

    def why_stuck(self) -> str | None:
        """Return why what is touched is not run any more, or None; nobody runs anything while nobody serves."""
        now, due = self._clock(), self._schedule.next_due()
        to_be_done = self._running or (due is not None and now - due > OVERDUE)
        stuck = self.serves and to_be_done and now - self._progress > STUCK
        return "the queue does not get on" if stuck else None

    async def serve(self, run: Run) -> None:
        """Run what is due until cancelled."""
        self.note_progress()
        try:
            async with asyncio.TaskGroup() as group:
                self.serves = True
                while True:
                    key = await self._next()
                    self._running += 1
                    self.note_progress()
                    group.create_task(self._one(run, key)).add_done_callback(partial(self._ended, key))
        finally:
            self.serves = False

    async def _next(self) -> Key:
        """Wait until a host is due and there is room for it."""
        while self._running >= self._at_once or (key := self._schedule.take(self._clock())) is None:
            self._changed.clear()
            due = self._schedule.next_due() if self._running < self._at_once else None
            wait = None if due is None else max(due - self._clock(), 0.0)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):  # before Python 3.12 `wait_for` may lose a cancellation
                    await self._changed.wait()
        return key

    def _ended(self, key: Key, run: asyncio.Task[None]) -> None:
        if run.cancelled():  # cut short, or before it began: due again, if this replica works again
            self._schedule.done(key, self._clock(), 0.0)
        self._running -= 1
        self.note_progress()
        self._changed.set()

    async def _one(self, run: Run, key: Key) -> None:
        began = self._clock()
        try:
            ran = await run(key)
        except ClusterError as error:
            wait = self._schedule.failed(key, self._clock(), error.retry_after)
            _log.warning("%s: %s; again in %.1f s", key, error, wait)
            metrics.RUNS.labels("failed").inc()
        except Exception:  # noqa: BLE001  a defect in the plan of one host must not stop the others
            wait = self._schedule.failed(key, self._clock())
            _log.exception("%s: a defect; again in %.1f s", key, wait)
            metrics.RUNS.labels("defect").inc()
        else:
            self._schedule.done(key, self._clock(), ran.look_again_after, ran.planning)
            metrics.RUNS.labels("done").inc()
        finally:
            metrics.RUN_SECONDS.observe(self._clock() - began)
