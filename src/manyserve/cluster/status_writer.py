"""Writes statuses in the background, like the kubelet's status manager: a map of the newest desired status per object.

A newer status replaces one that waits. The next is chosen when the limiter grants a write: by `Priority`, and within it
one host after the other. Nothing is lost with the map: the next plan sets each status again that is not stored yet.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from manyserve.api.names import Key
from manyserve.cluster.clock import utc_now
from manyserve.cluster.errors import ClusterError, Conflict, is_fatal
from manyserve.cluster.events import EventRecorder
from manyserve.cluster.informer import InformerOf, OnWrite
from manyserve.cluster.limiter import BACKOFF, MAX_IN_FLIGHT, Limiter
from manyserve.cluster.state import USERS_IDLE, ClusterState
from manyserve.plan.actions import PROGRESS_GRACE, Event, Priority, SetStatus, by_subject

_log = logging.getLogger(__name__)
_Object = tuple[str, str]  # kind and name


@dataclass(eq=False)
class _Entry:  # the newest desired status of an object
    host: Key
    update: SetStatus
    due: float
    failures: int = 0
    events: tuple[Event, ...] = ()


class StatusWriter:
    """Writes what is set, while `run` runs."""

    def __init__(
        self,
        state: ClusterState,
        informer_of: InformerOf,
        limiter: Limiter,
        recorder: EventRecorder,
        on_write: OnWrite,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._informer_of = informer_of
        self._limiter = limiter
        self._recorder = recorder
        self._on_write = on_write
        self._clock = clock
        self._changed = asyncio.Event()
        self._numbers = itertools.count()
        self.clear()

    def clear(self) -> None:
        """Forget all that is set."""
        self._waiting: defaultdict[Key, dict[_Object, _Entry]] = defaultdict(dict)
        self._in_flight: set[tuple[Key, _Object]] = set()
        self._delayed: list[tuple[float, int, _Entry]] = []  # a heap; a replaced entry stays in it until it is due
        self._ready: list[tuple[Priority, int, int, _Entry]] = []  # a heap by priority and round
        self._rounds: dict[tuple[Priority, Key | None], int] = {}  # the last of each host, and that of the last write

    @property
    def busy(self) -> bool:
        """Whether statuses are written or due."""
        return bool(self._in_flight or self._ready)

    def set(self, key: Key, updates: Sequence[SetStatus], events: Sequence[Event], *, final_only: bool = False) -> None:
        """Replace what waits for a host and its models by its newest plan's; an event is sent with its object's status.

        With `final_only`, progress that waits stays: newer one would speak of a `models.json` that is not written yet.
        """
        events_of = by_subject(events)
        self._state.planned(key, {update.subject for update in updates}, self._in_flight)
        before, self._waiting[key] = self._waiting[key], {}
        for each in Priority if not before else ():  # entries that are gone hold no next one back
            self._rounds.pop((each, key), None)
        burst = self.busy or len(updates) > MAX_IN_FLIGHT
        for update in updates:
            entry, of_update = before.get(update.subject), events_of.pop(update.subject, ())
            if update.priority is Priority.FINAL or not final_only:
                if entry is None or entry.update.priority is not update.priority:
                    entry = self._new_entry(key, update, entry, burst=burst)
                entry.update, entry.events = update, of_update
            elif entry is None or entry.update.priority is Priority.FINAL:
                continue
            self._waiting[key][update.subject] = entry
        for event in itertools.chain.from_iterable(events_of.values()):
            self._recorder.record(key.namespace, event)

    def _new_entry(self, key: Key, update: SetStatus, before: _Entry | None, *, burst: bool) -> _Entry:
        """Queue a status; a transient one waits, and in a burst the first progress of a spec, too."""
        entry = _Entry(key, update, self._clock(), before.failures if before else 0)
        if before and (before.failures or min(before.update.priority, update.priority) >= Priority.CHANGED):
            entry.due = before.due
        elif update.priority is Priority.TRANSIENT or (update.priority is Priority.CHANGED and burst):
            entry.due += PROGRESS_GRACE
        self._queue(entry)
        return entry

    def _queue(self, entry: _Entry) -> None:
        """Queue by time, or when that has come by fair queuing: the nth entry of each host is in the nth round."""
        if entry.due > self._clock():
            heapq.heappush(self._delayed, (entry.due, next(self._numbers), entry))
        else:
            priority = entry.update.priority
            last = max(self._rounds.get((priority, each), 0) for each in (entry.host, None))
            self._rounds[priority, entry.host] = last + 1
            heapq.heappush(self._ready, (priority, last + 1, next(self._numbers), entry))
        self._changed.set()

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._writable()
                    await self._limiter.acquire()
                    entry = self._choose()
                    if entry is None:
                        self._limiter.release()
                    else:
                        self._limiter.start(group, self._write(entry))
        finally:
            self.clear()

    async def _writable(self) -> None:
        """Wait until a status is due, and few enough are in flight: one while users and their changes go first."""
        while True:
            now = self._clock()
            while self._delayed and self._delayed[0][0] <= now:
                self._queue(heapq.heappop(self._delayed)[-1])
            active = self._state.last_model_change + USERS_IDLE - now
            if self._ready and len(self._in_flight) < (1 if active > 0 else MAX_IN_FLIGHT):
                return
            waits = [due - now for due, *_ in self._delayed[:1]] + [active] * (active > 0)
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(waits, default=None)):
                    await self._changed.wait()

    def _choose(self) -> _Entry | None:
        """Take the next status that is still wanted and due."""
        while self._ready:
            priority, current, _, entry = heapq.heappop(self._ready)
            waiting, subject = self._waiting[entry.host], entry.update.subject
            if waiting.get(subject) is not entry or (entry.host, subject) in self._in_flight:
                continue  # at the end of the one in flight, the newest is queued again
            self._rounds[priority, None] = current
            if entry.due <= self._clock():
                self._in_flight.add((entry.host, subject))
                return waiting.pop(subject)
            self._queue(entry)
        self._rounds.clear()
        return None

    async def _write(self, entry: _Entry) -> None:
        subject = entry.update.subject
        try:
            for event in entry.events if await self._patch(entry.host, entry.update) else ():
                self._recorder.record(entry.host.namespace, event)
        except Exception as error:  # noqa: BLE001  a defect in one status must not stop the others
            self._failed(entry, error)
        finally:
            self._in_flight.remove((entry.host, subject))
            if subject in self._waiting[entry.host]:
                self._queue(self._waiting[entry.host][subject])
            self._changed.set()

    def _failed(self, entry: _Entry, error: Exception) -> None:
        """Have the newest status of an object tried again after a backoff; all of the host, if all would fail."""
        waiting, now = self._waiting[entry.host], self._clock()
        newest = waiting.setdefault(entry.update.subject, entry)
        for each in waiting.values() if is_fatal(error) else [newest]:
            if each.due <= now:
                each.failures += 1
                each.due = now + max(BACKOFF.delay(each.failures), getattr(error, "retry_after", None) or 0.0)
        text, defect = "status of %s %s not written: %s; again in %.1f s", not isinstance(error, ClusterError)
        _log.warning(text, *entry.update.subject, error, newest.due - now, exc_info=defect)
        if isinstance(error, Conflict):
            self._state.enqueue(entry.host)

    async def _patch(self, key: Key, update: SetStatus) -> bool:
        """Write a status if it differs; return whether the object is still the same one. A uid is no precondition."""
        current = self._state.object_of(key, *update.subject)
        if current is None or current.metadata.uid != update.uid:
            return False
        informer = self._informer_of(update.kind, key.namespace)
        status = update.rebase(current.status, utc_now()).patch
        patch = {"metadata": {"resourceVersion": current.metadata.resource_version}, "status": status}
        if status and not await informer.merge_patch(Key(key.namespace, update.name), patch, "status"):
            return False
        if status:
            self._state.written[key].add(update.subject)
            self._on_write(update.kind, "status")
        return True
