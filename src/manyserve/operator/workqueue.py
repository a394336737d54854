"""The work queue of hosts, with the semantics of client-go's: a host that is added while it is reconciled is due after.

A change brings a failing host forward, but no further than to `MAX_BACKOFF_ON_CHANGE`, or changes could be a storm.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from manyserve.api.names import Key
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.limiter import BACKOFF, MAX_IN_FLIGHT
from manyserve.operator import metrics

MIN_INTERVAL = 0.2  # seconds between two reconciles of a host: changes that come together are one
PLAN_FACTOR = 6.0  # times the last plan's processor time, likewise: a large host takes a sixth of a processor
MAX_BACKOFF_ON_CHANGE = 5.0  # seconds until a failing host that changed is tried: the change may have repaired it
STALL_TIMEOUT = 600.0  # seconds without progress: longer than any answer takes; a tenth for a due host to be taken
Reconcile = Callable[[Key], Awaitable["Result"]]
_log = logging.getLogger(__name__)


class Result(NamedTuple):
    """The result of a reconcile: seconds until time alone may change the plan, and processor seconds of the plan."""

    requeue_after: float | None = None
    planning: float = 0.0


@dataclass
class _Item:
    due: float | None = None
    processing: bool = False
    started: float = float("-inf")
    not_before: float = float("-inf")
    failures: int = 0


class WorkQueue:
    """Hosts that are due; `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._items: dict[Key, _Item] = {}
        self._heap: list[tuple[float, Key]] = []
        self._changed = asyncio.Event()
        self._processing = 0
        self._progress = clock()
        self.active = False  # while `run` runs

    def __len__(self) -> int:
        return sum(item.due is not None and item.due <= self._clock() for item in self._items.values())

    def add(self, key: Key) -> None:
        """Have a host reconciled as soon as it may be."""
        self.add_after(key, 0.0)

    def add_after(self, key: Key, seconds: float) -> None:
        """Have a host reconciled after so many seconds, if it is not due earlier."""
        item = self._items.setdefault(key, _Item())
        due = max(self._clock() + seconds, item.not_before)
        if item.due is None or due < item.due:
            self._set_due(key, item, due)

    def add_rate_limited(self, key: Key, retry_after: float | None = None) -> float:
        """Have a failing host reconciled after its backoff, and return the seconds of it."""
        item, now = self._items.setdefault(key, _Item()), self._clock()
        item.failures += 1
        pause = max(BACKOFF.delay(item.failures), retry_after or 0.0)
        item.not_before = now + max(min(pause, MAX_BACKOFF_ON_CHANGE), retry_after or 0.0)
        self._set_due(key, item, now + pause if item.due is None else item.not_before)
        return pause

    async def get(self) -> Key:
        """Wait until a host is due and may be processed; `done` ends its processing."""
        while (wait := self._seconds_left()) is None or wait > 0 or self._processing >= MAX_IN_FLIGHT:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self._processing >= MAX_IN_FLIGHT else wait):
                    await self._changed.wait()
        key, now = heapq.heappop(self._heap)[1], self._clock()
        item = self._items[key]
        metrics.QUEUE_SECONDS.observe(now - (now if item.due is None else item.due))
        item.due, item.processing, item.started, item.not_before = None, True, now, now + MIN_INTERVAL
        self._processing += 1
        self.note_progress()
        return key

    def done(self, key: Key, result: Result | None = None) -> None:
        """End the processing of a host, with the result if it succeeded; it may be due again."""
        item, now = self._items[key], self._clock()
        added, item.due, item.processing = item.due, None, False
        self._processing -= 1
        if result is not None:
            item.failures = 0
            item.not_before = item.started + max(MIN_INTERVAL, PLAN_FACTOR * result.planning)
            if result.requeue_after is not None:
                self.add_after(key, result.requeue_after)
        if added is not None:
            self.add_after(key, added - now)
        self.note_progress()
        self._changed.set()

    def prune(self) -> None:
        """Drop the hosts that are not due and could be processed at once."""
        now, items = self._clock(), self._items.items()
        self._items = {k: v for k, v in items if v.due is not None or v.processing or v.not_before > now}

    def note_progress(self) -> None:
        """Note that something begins, ends or is written: the queue is not stalled."""
        self._progress = self._clock()

    def stall_reason(self) -> str | None:
        """Return why the queue is stalled, or None; it is not while `run` does not run."""
        left, idle = self._seconds_left(), self._clock() - self._progress
        waiting = self._processing or (left is not None and -left > STALL_TIMEOUT / 10)
        return "the work queue is stalled" if self.active and waiting and idle > STALL_TIMEOUT else None

    async def run(self, reconcile: Reconcile) -> None:
        """Reconcile the hosts that are due until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self.active = True
                while True:
                    key = await self.get()
                    group.create_task(self._process(reconcile, key)).add_done_callback(partial(self._ended, key))
        finally:
            self.active = False

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # due again, for when this replica leads again
            self.done(key, Result(requeue_after=0.0))

    async def _process(self, reconcile: Reconcile, key: Key) -> None:
        result = None
        try:
            result = await reconcile(key)
        except ClusterError as error:
            _log.warning("%s: %s; again in %.1f s", key, error, self.add_rate_limited(key, error.retry_after))
        except Exception:  # noqa: BLE001  a defect in the plan of one host must not stop the others
            _log.exception("%s: a defect; again in %.1f s", key, self.add_rate_limited(key))
        self.done(key, result)

    def _set_due(self, key: Key, item: _Item, due: float) -> None:
        metrics.QUEUE_ADDS.inc(int(item.due is None))
        item.due = due
        if not item.processing:
            heapq.heappush(self._heap, (due, key))
            self._changed.set()

    def _seconds_left(self) -> float | None:
        """Return the seconds until the next host is due, which is the first in the heap then."""
        while self._heap:
            due, key = self._heap[0]
            item = self._items.get(key)
            if item is not None and item.due == due and not item.processing:
                return due - self._clock()
            heapq.heappop(self._heap)
        return None
