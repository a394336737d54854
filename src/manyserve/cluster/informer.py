"""A true copy of all objects of a kind, for as long as the program runs.

List, compare with what we have, then watch. Comparing is what notices the objects that were deleted while
nobody watched; a watch alone never tells. A stream that ends or breaks is taken up again at the last
resourceVersion; when that is too old, when the API server sends an ERROR or something unknown, or when it
fails three times in a row, all is listed again. `run` ends only when it is cancelled.
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
from manyserve.cluster.transport import LONGEST_RETRY_AFTER

__all__ = ["Informer", "key_of"]

FAILURES_BEFORE_LIST = 3
SHORTEST_STREAM = 1.0
BACKOFF = Backoff(base=0.2, cap=30.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WatchTimeouts:
    """How long an informer waits, in seconds."""

    silence: float = 75.0
    """The API server sends a bookmark each minute: a stream that is silent for longer is dead."""
    backoff: Backoff = BACKOFF
    """Before a further try to list or to watch."""


WATCH_TIMEOUTS = WatchTimeouts()


OnWrite = Callable[[str, str], None]
"""Called with the kind and the verb of each write that succeeded."""


class Informer:
    """The copy of one kind, or of a selection of it.

    Parameters
    ----------
    on_change, on_store, keep
        Who is told of changes and what is kept, see `Copy`.
    on_sync
        Called when all objects have been listed for the first time.
    refusable
        A refusal to list the objects (403) counts as an answer; the informer goes on trying.
    optional
        The kind may not be served: then the copy is empty and synced, and looked for again now and then.
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
        patience: WatchTimeouts = WATCH_TIMEOUTS,
    ) -> None:
        self.kind = kind
        self.store = Store(on_change, on_store, keep)
        self.synced = asyncio.Event()
        """Set when all objects have been listed once."""
        self.settled = asyncio.Event()
        """Set with `synced`, or by a refusal that counts as an answer: nobody need wait for more."""
        self.last_heard = time.monotonic()
        """When the API server last said anything: an event, a bookmark, an answer that is an error."""
        self.last_turn = time.monotonic()
        """When `run` last did anything at all, even if only to find that the API server is away."""
        self._on_sync = on_sync
        self._refusable = refusable
        self._client = client
        self._selection = selection
        self._optional = optional
        self._patience = patience
        self._version = ""
        self._failures = 0
        self._retry_after = 0.0

    @property
    def objects(self) -> dict[Key, Manifest]:
        """The objects by namespace and name. Not to be changed."""
        return self.store.objects

    def record_write(self, manifest: Manifest) -> None:
        """Remember an object as the API server returned it for our write, until the watch has caught up."""
        self.store.record_write(manifest)

    async def write(self, key: Key, request: Awaitable[Manifest]) -> None:
        """Send a write of an object and keep the answer."""
        with self.store.own_write(key):
            self.record_write(await request)

    async def merge_patch(self, key: Key, patch: Manifest, subresource: str | None = None) -> bool:
        """Patch an object and keep the answer. Return False if the object is gone: the watch brings its deletion."""
        with self.store.own_write(key):
            try:
                stored = await self._client.merge_patch(self.kind, *key, patch, subresource=subresource)
            except NotFound:
                return False
            self.record_write(stored)
            return True

    async def run(self) -> None:
        """Keep the copy true until cancelled."""
        while True:
            try:
                await self._follow()
            except WatchTimeout:
                self.last_turn = time.monotonic()
            except ClusterError as error:
                self._failed(error)
            except Exception:  # noqa: BLE001  a defect of ours in one object must not blind the program to all others
                _log.exception("the copy of %s is made anew", self.kind.plural)
                self._failures += 1
                self._version = ""
            await asyncio.sleep(self._wait())

    async def _follow(self) -> None:
        if not self._version or self._failures >= FAILURES_BEFORE_LIST:
            await self._list()
        await self._watch()

    async def _list(self) -> None:
        found: set[Key] = set()
        version = ""
        async with aclosing(self._client.pages(self.kind, self._selection)) as pages:
            async for page in pages:
                self._heard()
                if not version:
                    self.store.begin_list(version := page.resource_version)
                found |= self.store.add_page(page.items)
        self.store.end_list(found, version)
        self._version = version
        self._listed()

    def _listed(self) -> None:
        if not self.synced.is_set():
            self.synced.set()
            self.settled.set()
            self._on_sync()

    async def _watch(self) -> None:
        began = time.monotonic()
        patience = self._patience.silence
        watch = self._client.watch(self.kind, self._selection, version=self._version, silence=patience)
        async with aclosing(watch) as events:
            async for event in events:
                self._heard()
                self._event(event.get("type"), event.get("object") or {})
                self._failures = 0
                await asyncio.sleep(0)  # a chunk may hold a hundred, and others wait for their turn of the loop
        self._heard()
        if self._failures and self.last_heard - began < SHORTEST_STREAM:
            raise Unavailable("the watch ended at once")
        self._failures = 1 if self.last_heard - began < SHORTEST_STREAM else 0

    def _event(self, sort: str | None, item: Manifest) -> None:
        if sort in ("ADDED", "MODIFIED", "DELETED"):
            self.store.apply_event(item, deleted=sort == "DELETED")
        elif sort == "BOOKMARK":
            self.store.advance(item["metadata"]["resourceVersion"])
        else:
            self._version = ""
            raise from_status(item) if sort == "ERROR" else Unavailable(f"the watch sent an unknown event: {sort!r}")
        self._version = item["metadata"]["resourceVersion"]

    def _heard(self) -> None:
        self.last_heard = self.last_turn = time.monotonic()

    def _failed(self, error: ClusterError) -> None:
        self.last_turn = time.monotonic()
        self.last_heard = self.last_turn if error.code else self.last_heard
        self._failures += 1
        self._retry_after = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
        if isinstance(error, Forbidden) and self._refusable:
            self.settled.set()
        if isinstance(error, NotFound) and self._optional:
            self._absent()
        elif isinstance(error, Expired):
            self._version = ""
            _log.info("%s are listed again: %s", self.kind.plural, error)
        else:
            _log.warning("%s: %s", self.kind.plural, error)

    def _absent(self) -> None:
        self.store.replace([], "")
        self._version = ""
        self._failures = 16  # the longest wait
        self._listed()

    def _wait(self) -> float:
        """Return the seconds until the next try: none after a stream that ended as it should."""
        if not self._failures:
            return 0.0
        retry_after, self._retry_after = self._retry_after, 0.0
        return max(self._patience.backoff.delay(self._failures), retry_after)


InformerOf = Callable[[str, str], Informer]
"""Returns the informer of a kind for a namespace. Raises `OutOfScope`."""
