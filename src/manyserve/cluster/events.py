"""Recorder of Kubernetes Events, with deduplication and a limit for each object.

Two workers send them in the background, one for Warning and one for Normal events. Normal events wait while many
statuses are written. A repeated event counts up the Event that exists, at most once in `REPEAT_SECONDS`. An object gets
at most `BURST` new ones in `BURST_SECONDS`. Further events are dropped and logged. The conditions are complete, Events
are not.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from manyserve.api.conditions import timestamp
from manyserve.api.names import GROUP, MANAGER, Key
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.clock import utc_now
from manyserve.cluster.errors import AlreadyExists, ClusterError, NotFound

MESSAGE_LIMIT = 1024
WAITING = 2000
REMEMBERED = 4096
REPEAT_SECONDS = 60.0
TICK = 0.1
BURST, BURST_SECONDS = 25, 300.0

_VERSIONS = {"InferenceService": f"{GROUP}/v1beta1", "TrainedModel": f"{GROUP}/v1alpha1", "ConfigMap": "v1"}
_log = logging.getLogger(__name__)


class Event(Protocol):
    """An event of a plan, or of the operator itself."""

    @property
    def kind(self) -> str:
        """Kind of the object."""

    @property
    def name(self) -> str:
        """Name of the object."""

    @property
    def uid(self) -> str:
        """Its uid."""

    @property
    def type(self) -> str:
        """Normal or Warning."""

    @property
    def reason(self) -> str:
        """One word for programs."""

    @property
    def message(self) -> str:
        """One sentence for people."""

    @property
    def once(self) -> bool:
        """Whether the same event is sent once only, whichever replica sends it."""


Predicate = Callable[[], bool]
_Waiting = asyncio.Queue[tuple[str, Event]]


@dataclass
class _Sent:
    """An Event that was sent."""

    key: Key
    count: int
    at: float


def never() -> bool:
    """Return False."""
    return False


class EventRecorder:
    """Sends Events in the background, while `run` runs.

    Parameters
    ----------
    pause_normal
        Returns whether Normal events wait: statuses go before them.
    """

    def __init__(
        self, client: KubeClient, clock: Callable[[], float] = time.monotonic, pause_normal: Predicate = never
    ) -> None:
        self._client = client
        self._clock = clock
        self._pause_normal = pause_normal
        self._warnings: _Waiting = asyncio.Queue(WAITING)
        self._others: _Waiting = asyncio.Queue(WAITING)
        self._full = False
        self._sent: OrderedDict[tuple[str, ...], _Sent] = OrderedDict()
        self._recent: OrderedDict[str, deque[float]] = OrderedDict()

    def record(self, namespace: str, event: Event) -> None:
        """Enqueue an event."""
        waiting = self._warnings if event.type == "Warning" else self._others
        try:
            waiting.put_nowait((namespace, event))
        except asyncio.QueueFull:
            if not self._full:
                _log.warning("events are dropped: %d are queued; the conditions are complete", WAITING)
            self._full = True

    def clear(self) -> None:
        """Drop all events that were not sent yet."""
        for waiting in (self._warnings, self._others):
            while not waiting.empty():
                waiting.get_nowait()

    async def run(self) -> None:
        """Send events until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work(self._warnings, never))
            group.create_task(self._work(self._others, self._pause_normal))

    async def _work(self, waiting: _Waiting, pause: Predicate) -> None:
        while True:
            namespace, event = await waiting.get()
            while pause():  # noqa: ASYNC110  time ends it
                await asyncio.sleep(TICK)
            self._full = self._full and not waiting.empty()
            try:
                await self._send(namespace, event)
            except ClusterError as error:
                _log.warning("event not sent: %s %s/%s: %s", event.kind, namespace, event.name, error)

    async def _send(self, namespace: str, event: Event) -> None:
        same = (event.uid, event.type, event.reason, event.message)
        sent = self._sent.get(same)
        now = self._clock()
        if sent is None:
            if self._allow_new_event(event.uid, now):
                await self._create(namespace, event, same)
        elif not event.once and now - sent.at >= REPEAT_SECONDS:
            sent.count, sent.at = sent.count + 1, now
            await self._count_up(event, same, sent)

    async def _create(self, namespace: str, event: Event, same: tuple[str, ...]) -> None:
        manifest = build_event(namespace, event, utc_now())
        self._sent[same] = _Sent(Key(namespace, manifest["metadata"]["name"]), 1, self._clock())
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        try:
            await self._client.create_event(manifest)
        except AlreadyExists:
            if not event.once:
                raise

    async def _count_up(self, event: Event, same: tuple[str, ...], sent: _Sent) -> None:
        patch = {"count": sent.count, "lastTimestamp": timestamp(utc_now())}
        try:
            await self._client.merge_patch(kinds.EVENT, *sent.key, patch)
        except NotFound:  # Events are kept for an hour
            await self._create(sent.key.namespace, event, same)

    def _allow_new_event(self, uid: str, now: float) -> bool:
        """Count a new event of an object. Return False when it has had `BURST` in `BURST_SECONDS`."""
        recent = self._recent.setdefault(uid, deque())
        self._recent.move_to_end(uid)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        while recent and now - recent[0] > BURST_SECONDS:
            recent.popleft()
        if len(recent) >= BURST:
            return False
        recent.append(now)
        return True


def build_event(namespace: str, event: Event, now: datetime) -> Manifest:
    """Return the manifest of an Event."""
    moment = timestamp(now)
    suffix = _identity(event) if event.once else uuid.uuid4().hex
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{event.name[:200]}.{suffix[:16]}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": _VERSIONS[event.kind],
            "kind": event.kind,
            "name": event.name,
            "namespace": namespace,
            "uid": event.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:MESSAGE_LIMIT],
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
    }


def _identity(event: Event) -> str:
    """Return the same name for the same event, so that the API server refuses a second one."""
    return hashlib.sha256(f"{event.uid}/{event.reason}/{event.message}".encode()).hexdigest()
