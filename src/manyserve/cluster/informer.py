"""Informer: list, compare and watch of one kind, into a store, until it is cancelled.

A list is compared with the store, which finds the objects that were deleted while no watch ran. A stream that ends or
breaks continues at the last resourceVersion. A new list is made after 410 (Expired), an ERROR event, an unknown event,
or `FAILURES_BEFORE_LIST` failures in a row.

docs/decisions/0004-own-client-and-informers.md has the reasons and figures.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster.client import EVERYTHING, KubeClient, ListOptions
from manyserve.cluster.errors import ClusterError, Expired, Forbidden, NotFound, Unavailable, WatchTimeout, from_status
from manyserve.cluster.kinds import Kind
from manyserve.cluster.store import Change, Manifest, Store, key_of

__all__ = ["Informer", "key_of"]

FAILURES_BEFORE_LIST = 3
SHORTEST_STREAM = 1.0
"""Seconds that a stream lasts at least; a shorter one counts as a failure."""
BACKOFF = Backoff(base=0.2, cap=30.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WatchTimeouts:
    """Waits of an informer, in seconds."""

    silence: float = 75.0
    """A silent stream ends after this long: the API server sends a bookmark each minute."""
    backoff: Backoff = BACKOFF
    """Delay before the next attempt to list or watch."""


WATCH_TIMEOUTS = WatchTimeouts()


OnWrite = Callable[[str, str], None]
"""Called with the kind and the verb of each write that succeeded."""


class Informer:
    """Informer of one kind, or of a selection of its objects.

    Parameters
    ----------
    on_change, on_store, keep
        Listeners and projection of the store, see `Store`.
    on_sync
        Called when all objects have been listed for the first time.
    refusable
        A refusal to list (403) settles the informer; it goes on trying.
    optional
        The API server may not serve the kind: the store is then empty and synced, and the list is tried again.
    """

    def __init__(  # noqa: PLR0913  each is named where it is given
        self,
        client: KubeClient,
        kind: Kind,
        *,
        selection: ListOptions = EVERYTHING,
        on_change: Change | None = None,
        on_store: Change | None = None,
        keep: Callable[[Manifest], Manifest] | None = None,
        on_sync: Callable[[], None] = lambda: None,
        refusable: bool = False,
        optional: bool = False,
        timeouts: WatchTimeouts = WATCH_TIMEOUTS,
    ) -> None:
        self.kind = kind
        self.store = Store(on_change, on_store, keep)
        self.synced = asyncio.Event()
        """Set when all objects have been listed once."""
        self.settled = asyncio.Event()
        """Set with `synced`, or when a `refusable` list was refused: startup waits for no more."""
        self.last_response = time.monotonic()
        """Time of the last sign of the API server: an event, a bookmark or an HTTP error."""
        self.last_step = time.monotonic()
        """Time at which `run` last made a step, even if the API server was unavailable."""
        self._on_sync = on_sync
        self._refusable = refusable
        self._client = client
        self._selection = selection
        self._optional = optional
        self._timeouts = timeouts
        self._version = ""
        self._gone: dict[Key, str] = {}
        """Versions in the store that the API server had no more, until the watch says so."""
        self._failures = 0
        self._retry_after = 0.0

    @property
    def objects(self) -> dict[Key, Manifest]:
        """The objects by namespace and name. Callers do not change them."""
        return self.store.objects

    def record_write(self, manifest: Manifest) -> None:
        """Store an object as the API server returned it for our write, until the watch has caught up."""
        self.store.record_write(manifest)

    async def write(self, key: Key, request: Awaitable[Manifest]) -> None:
        """Send a write of an object and keep the answer."""
        with self.store.own_write(key):
            self.record_write(await request)

    async def merge_patch(self, key: Key, patch: Manifest, subresource: str | None = None) -> bool:
        """Patch an object and keep the answer. Return False if the object is gone: the watch brings its deletion.

        Until then the status of a missing object is patched once.
        """
        version = self._stored_version(key)
        if subresource and version and version == self._gone.get(key):
            return False
        with self.store.own_write(key):
            try:
                stored = await self._client.merge_patch(self.kind, *key, patch, subresource=subresource)
            except NotFound:
                if subresource:
                    self._gone[key] = version
                return False
            self.record_write(stored)
            return True

    def _stored_version(self, key: Key) -> str:
        return str(self.objects[key]["metadata"]["resourceVersion"]) if key in self.objects else ""

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                await self._follow()
            except WatchTimeout:
                self.last_step = time.monotonic()
            except ClusterError as error:
                self._on_error(error)
            except Exception:  # noqa: BLE001  a defect in a listener must not stop the informer
                _log.exception("internal error: all %s are listed again", self.kind.plural)
                self._failures += 1
                self._version = ""
            await asyncio.sleep(self._retry_delay())

    async def _follow(self) -> None:
        if not self._version or self._failures >= FAILURES_BEFORE_LIST:
            await self._list()
        await self._watch()

    async def _list(self) -> None:
        listed: set[Key] = set()
        version = ""
        async with aclosing(self._client.pages(self.kind, self._selection)) as pages:
            async for page in pages:
                self._note_response()
                if not version:
                    self.store.begin_list(version := page.resource_version)
                listed |= self.store.add_page(page.items)
        self.store.end_list(listed, version)
        self._gone.clear()
        self._version = version
        self._set_synced()

    def _set_synced(self) -> None:
        if not self.synced.is_set():
            self.synced.set()
            self.settled.set()
            self._on_sync()

    async def _watch(self) -> None:
        began = time.monotonic()
        silence = self._timeouts.silence
        watch = self._client.watch(self.kind, self._selection, version=self._version, silence=silence)
        async with aclosing(watch) as events:
            async for event in events:
                self._note_response()
                self._apply_event(event.get("type"), event.get("object") or {})
                self._failures = 0
                await asyncio.sleep(0)  # a chunk may have a hundred events, and other tasks run between them
        self._note_response()
        if self._failures and self.last_response - began < SHORTEST_STREAM:
            raise Unavailable("the watch ended at once")
        self._failures = 1 if self.last_response - began < SHORTEST_STREAM else 0

    def _apply_event(self, event_type: str | None, item: Manifest) -> None:
        if event_type in ("ADDED", "MODIFIED", "DELETED"):
            if event_type == "ADDED":
                self._client.ending.discard(item["metadata"].get("namespace"))
            self._gone.pop(key_of(item), None)
            self.store.apply_event(item, deleted=event_type == "DELETED")
        elif event_type == "BOOKMARK":
            self.store.advance(item["metadata"]["resourceVersion"])
        else:
            self._version = ""
            if event_type == "ERROR":
                raise from_status(item)
            raise Unavailable(f"the watch sent an unknown event: {event_type!r}")
        self._version = item["metadata"]["resourceVersion"]

    def _note_response(self) -> None:
        self.last_response = self.last_step = time.monotonic()

    def _on_error(self, error: ClusterError) -> None:
        self.last_step = time.monotonic()
        self.last_response = self.last_step if error.code else self.last_response
        self._failures += 1
        self._retry_after = error.retry_after or 0.0
        if isinstance(error, Forbidden) and self._refusable:
            self.settled.set()
        if isinstance(error, NotFound) and self._optional:
            self._set_absent()
        elif isinstance(error, Expired):
            self._version = ""
            _log.info("%s are listed again: %s", self.kind.plural, error)
        else:
            _log.warning("%s: %s", self.kind.plural, error)

    def _set_absent(self) -> None:
        self.store.replace([], "")
        self._version = ""
        self._failures = 16  # the cap of the backoff
        self._set_synced()

    def _retry_delay(self) -> float:
        """Return the seconds until the next attempt: 0 after a stream that ended in order."""
        if not self._failures:
            return 0.0
        retry_after, self._retry_after = self._retry_after, 0.0
        return max(self._timeouts.backoff.delay(self._failures), retry_after)


InformerOf = Callable[[str, str], Informer]
"""Returns the informer of a kind for a namespace. Raises `OutOfScope`."""
