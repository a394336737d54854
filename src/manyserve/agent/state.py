"""State of the agent: the config in force, the disk, the server's index, and the retry states.

The server's index comes from a coalescing poller: periodic, single-flight, with a bounded duty cycle. Its polls do not
overlap, so a slow old response never hides a newer one. The cost of a poll grows with the number of models, and each
load asks for a fresh index at its end. So one poll serves every request that came before it began. The next poll waits
for `DUTY_FACTOR` times the duration of the last one. A thousand loads then cost a few polls, and a single load does
not wait. An update of a single model in the state costs the same for any number of models.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

from manyserve.agent.config import Config
from manyserve.agent.content import Content
from manyserve.agent.reconcile import Observed, OnDisk, ServerModel, ServerState
from manyserve.agent.removals import Removals
from manyserve.agent.retry import RetryState
from manyserve.agent.servers import ModelServer, ServerUnavailableError
from manyserve.agent.volume.load_records import LoadRecord
from manyserve.agent.volume.store import Store
from manyserve.api.modelconfig import Entry

T = TypeVar("T")

log = logging.getLogger("manyserve.agent")

DUTY_FACTOR = 9
"""Rest after repeated work, in multiples of the work's duration: the work then takes a tenth of the time."""
_MAX_REST = 0.5  # seconds


class IndexPoller(Generic[T]):
    """Polls periodically, one request at a time."""

    def __init__(self, request: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._clock = clock
        self._requested = asyncio.Event()
        self._next: asyncio.Future[T] | None = None

    async def fresh(self) -> T:
        """Return a result that was requested after this call. Raises the error of the request."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        self._requested.set()
        return await asyncio.shield(self._next)

    async def run(self, seconds: float, on_poll: Callable[[], None]) -> None:
        """Poll until cancelled, at least every `seconds`; call `on_poll` after each result or failure."""
        while True:
            started = self._clock()
            await self._poll()
            on_poll()
            await asyncio.sleep(min(DUTY_FACTOR * (self._clock() - started), _MAX_REST))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds - (self._clock() - started)):
                    await self._requested.wait()

    async def _poll(self) -> None:
        self._requested.clear()
        waiting, self._next = self._next, None
        try:
            result = await self._request()
        except Exception as error:  # noqa: BLE001 (the callers of `fresh` get it, and the next poll follows)
            if waiting:
                waiting.set_exception(error)
                waiting.exception()  # marks it as retrieved, also if all callers were cancelled
        else:
            if waiting:
                waiting.set_result(result)


class AgentState:
    """The state of one agent. Every change sets the event `changed`."""

    def __init__(self, store: Store, server: ModelServer, *, has_routers: bool = False) -> None:
        self.changed = asyncio.Event()
        self.desired: Mapping[str, Entry] = {}
        self.disk: dict[str, OnDisk] = {}
        self.index: Mapping[str, ServerModel] | None = None
        self.retries: dict[str, RetryState] = {}
        self.loading: set[str] = set()
        """Models with a load under way, even if the index does not list them yet."""
        self.removals = Removals()
        self.steps: dict[str, tuple[str, ...]] = {}
        """Steps of the ensembles that were to be loaded."""
        self.alone = ""
        """The suspect with a load under way, during which no other load begins."""
        self.unjudged: dict[str, LoadRecord] = {}
        """Loads without a known result that no job waits for."""
        self.outages = 0
        """Number of times at which the server ceased to answer."""
        self.contents: dict[tuple[str, str], Content] = {}
        """Contents by model and digest, of the files that this agent has fetched."""
        self._has_routers = has_routers
        self._store = store
        self._scanned: Mapping[str, OnDisk] = {}
        self._server = server
        self.poller = IndexPoller(self._request_index)

    @property
    def observed(self) -> Observed:
        """Snapshot of the whole state."""
        overdue = self.removals.overdue
        return Observed(self.desired, self.disk, self.index, self.retries, overdue, self._has_routers)

    @property
    def unfinished_loads(self) -> list[str]:
        """Models with loads that the server has begun and not finished, including those of an earlier agent."""
        listed = {name for name, model in (self.index or {}).items() if model.state is ServerState.LOADING}
        return sorted(self.loading | listed)

    @property
    def answering(self) -> list[str]:
        """Models of `models.json` that the server has loaded."""
        index = self.index or {}
        return [name for name in self.desired if name in index and index[name].state is ServerState.READY]

    def stuck_loads(self, limit: int) -> list[str]:
        """Return the models with unfinished loads, while they keep all other loads away and no job waits for them.

        A job stops waiting at its time limit. Nobody waits for a model that is not desired. Only a restart of the
        server ends these loads.
        """
        unfinished = self.unfinished_loads
        is_awaited = any(name in self.loading and name in self.desired for name in unfinished)
        return [] if self.index is None or len(unfinished) < limit or is_awaited else unfinished

    def set_desired(self, config: Config) -> None:
        """Put a config in force, and log the added, changed and removed models."""
        for name, entry in config.entries.items():
            previous = self.desired.get(name)
            if previous is None:
                log.info("adding model %s", name)
            elif previous.digest != entry.digest:
                log.info("updating model %s", name)
        for name in sorted(self.desired.keys() - config.entries.keys()):
            log.info("removing model %s", name)
        self.desired = config.entries
        names = {*self.desired, *self.disk}
        self.retries = {name: retry for name, retry in self.retries.items() if name in names}
        self.contents = {key: content for key, content in self.contents.items() if key[0] in names}
        self.changed.set()

    def set_retry(self, name: str, retry: RetryState) -> None:
        """Store the retry state of a model."""
        self.retries[name] = retry
        self.changed.set()

    def forget(self, name: str) -> None:
        """Drop the retry state of a removed model."""
        self.retries.pop(name, None)
        self.unjudged.pop(name, None)
        self.steps.pop(name, None)

    def rescan(self) -> None:
        """Scan the volume again."""
        scanned = self._store.scan()
        if scanned is not self._scanned and scanned != self.disk:
            self.disk = dict(scanned)
            self.changed.set()
        self._scanned = scanned

    def set_on_disk(self, name: str, disk: OnDisk | None) -> None:
        """Record a change of one model's folder; the next scan verifies it."""
        self._scanned = {}
        if disk is None:
            self.disk.pop(name, None)
        else:
            self.disk[name] = disk
        self.changed.set()

    async def poll_server(self) -> Mapping[str, ServerModel]:
        """Return the server's index, requested after this call. Raises `ServerUnavailableError`."""
        return await self.poller.fresh()

    async def _request_index(self) -> Mapping[str, ServerModel]:
        """Request the index; while the server does not answer, no model counts as loaded."""
        try:
            index = await self._server.index()
        except ServerUnavailableError as error:
            self._set_index(None, str(error))
            raise
        self._set_index(index)
        return index

    def _set_index(self, index: Mapping[str, ServerModel] | None, reason: str = "") -> None:
        if index is not None and self.index is None:
            log.info("model server is ready")
        if index is None and self.index is not None:
            self.outages += 1
            log.error("model server is unavailable: %s", reason)
        if index is not self.index and index != self.index:
            self.index = index
            self.changed.set()
