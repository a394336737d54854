"""Debounces the writes of `models.json`: each has the kubelets of all the host's pods mount the file anew.

Like karpenter's batcher: a batch ends when its host has been idle for `MIN_INTERVAL`, or at a maximal wait. The first
change is written at once. A token bucket gives each host one write a second, and one in advance. While users change
more than ten hosts, these write ten times a second together, and other hosts after an idle window of a second. When
users have changed nothing for a second, all batches end.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from manyserve.api.names import Key
from manyserve.operator.workqueue import MIN_INTERVAL, WorkQueue

MIN_WRITE_INTERVAL = 1.0  # seconds between two writes of a host, and its idle window while users change many hosts
INTERVAL_PER_HOST = 0.1  # seconds of that interval for each host that users change: all write ten times a second
MAX_WRITE_INTERVAL = 10.0  # seconds of that interval, and for which a changed host counts: the longest that users wait


@dataclass
class _Batch:  # changes of a host that no plan has taken yet
    first: float
    last: float
    complete: bool = False


class Debouncer:
    """Says when the `models.json` of a host may be written, and adds the host to the queue then."""

    def __init__(self, queue: WorkQueue, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._batches: dict[Key, _Batch] = {}
        self._paid_until: dict[Key, float] = {}  # the token buckets
        self._changed: dict[Key, float] = {}  # when each host changed last, in this order

    def on_change(self, key: Key) -> None:
        """Note that a user changed a model of a host."""
        self._changed.pop(key, None)
        self._changed[key] = now = self._clock()
        self._batches.setdefault(key, _Batch(now, now)).last = now
        if not self.delay(key):
            self._queue.add(key)

    def take(self, key: Key) -> float:
        """Return for how many seconds a plan must leave `models.json` alone; if for none, reserve batch and write."""
        if not (delay := self.delay(key)):
            self._batches.pop(key, None)
            self._paid_until[key] = max(self._paid_until.pop(key, 0.0), self._clock()) + MIN_WRITE_INTERVAL
        return delay

    def cancel(self, key: Key) -> None:
        """Give back a reservation: the plan wrote no `models.json`."""
        self._paid_until[key] = self._paid_until.get(key, 0.0) - MIN_WRITE_INTERVAL
        if key in self._batches and not self.delay(key):
            self._queue.add(key)

    def defer(self, key: Key) -> None:
        """Note that a plan left `models.json` alone: the host is added again when it may be written."""
        self._batches.setdefault(key, _Batch(now := self._clock(), now)).complete = False

    def delay(self, key: Key) -> float:
        """Return the seconds until the `models.json` of a host may be written."""
        now, batch = self._clock(), self._batches.get(key)
        paid = self._paid_until.get(key, float("-inf"))
        early = max(paid - MIN_WRITE_INTERVAL - now, 0.0)
        if batch is None:
            return max(paid - now, 0.0)
        if batch.complete or now - next(reversed(self._changed.values()), float("-inf")) >= MIN_WRITE_INTERVAL:
            return early
        interval = min(INTERVAL_PER_HOST * len(self._changed), MAX_WRITE_INTERVAL)
        if interval <= MIN_WRITE_INTERVAL:
            return max(min(paid, batch.last + MIN_INTERVAL) - now, early)
        interval *= (2 + zlib.crc32(str(key).encode()) / 2**32) / 3  # hosts that change together are not due together
        idle = max(batch.last + MIN_WRITE_INTERVAL, paid - MIN_WRITE_INTERVAL + interval)
        return max(min(batch.first + interval, idle) - now, early)

    async def run(self) -> None:
        """Add each host to the queue when its `models.json` may be written, until cancelled."""
        while True:  # noqa: ASYNC110  time ends it
            await asyncio.sleep(self.release())

    def release(self) -> float:
        """Add each host with a `models.json` that may be written now. Return the seconds until the next one may be."""
        now, wait = self._clock(), MIN_INTERVAL
        for times in (self._changed, self._paid_until):
            while times and next(iter(times.values())) <= now - MAX_WRITE_INTERVAL:
                del times[next(iter(times))]
        for key, batch in self._batches.items():
            if delay := self.delay(key):
                wait = min(wait, delay)
            else:  # again until a plan takes the batch: a plan within the paid time leaves it
                batch.complete = True
                self._queue.add(key)
        return wait
