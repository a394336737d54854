"""State of the agent: the config in force, the disk, the server's index, and the retry states.

Polls of the server do not overlap, so a slow old response never hides a newer one. An update of a single model costs
the same for any number of models.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from manyserve.agent.config import Config
from manyserve.agent.index_poller import IndexPoller
from manyserve.agent.reconcile import Observed, OnDisk, ServerModel, ServerState
from manyserve.agent.retry import RetryState
from manyserve.agent.servers import ModelServer, ServerUnavailableError
from manyserve.agent.volume.store import Store
from manyserve.api.modelconfig import Entry

log = logging.getLogger("manyserve.agent")


class AgentState:
    """The state of one agent. Every change sets the event `changed`."""

    def __init__(self, store: Store, server: ModelServer) -> None:
        self.changed = asyncio.Event()
        self.desired: Mapping[str, Entry] = {}
        self.disk: dict[str, OnDisk] = {}
        self.index: Mapping[str, ServerModel] | None = None
        self.retries: dict[str, RetryState] = {}
        self.loading: set[str] = set()
        """Models with a load under way, even if the index does not list them yet."""
        self._store = store
        self._scanned: Mapping[str, OnDisk] = {}
        self._server = server
        self.poller = IndexPoller(self._request_index)

    @property
    def observed(self) -> Observed:
        """Snapshot of the whole state."""
        return Observed(self.desired, self.disk, self.index, self.retries)

    @property
    def unfinished_loads(self) -> int:
        """Number of loads that the server has begun and not finished, including those of an earlier agent."""
        listed = {name for name, model in (self.index or {}).items() if model.state is ServerState.LOADING}
        return len(self.loading | listed)

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
        self.changed.set()

    def set_retry(self, name: str, retry: RetryState) -> None:
        """Store the retry state of a model."""
        self.retries[name] = retry
        self.changed.set()

    def forget(self, name: str) -> None:
        """Drop the retry state of a removed model."""
        self.retries.pop(name, None)

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
            log.error("model server is unavailable: %s", reason)
        if index is not self.index and index != self.index:
            self.index = index
            self.changed.set()
