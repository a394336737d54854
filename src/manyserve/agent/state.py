"""What the agent sees: the config in force, the disk, the server's index, and what it remembers of its failures.

Looks at the server follow each other, so that no slow old answer hides what a newer one said. What is told of a
single model costs the same however many there are.
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
    """The state of one agent. `changed` is set whenever something in it did."""

    def __init__(self, store: Store, server: ModelServer) -> None:
        self.changed = asyncio.Event()
        self.wanted: Mapping[str, Entry] = {}
        self.disk: dict[str, OnDisk] = {}
        self.index: Mapping[str, ServerModel] | None = None
        self.memory: dict[str, RetryState] = {}
        self.loading: set[str] = set()
        """The models of which a load is under way, whether or not the index says so yet."""
        self._store = store
        self._scanned: Mapping[str, OnDisk] = {}
        self._server = server
        self.looks = IndexPoller(self._ask)

    @property
    def seen(self) -> Observed:
        """Return everything known now."""
        return Observed(self.wanted, self.disk, self.index, self.memory)

    @property
    def unfinished_loads(self) -> int:
        """Return how many loads the server has begun, by us or before us, and not finished."""
        listed = {name for name, model in (self.index or {}).items() if model.state is ServerState.LOADING}
        return len(self.loading | listed)

    def set_desired(self, config: Config) -> None:
        """Put a config in force, and log what it adds, changes and removes."""
        for name, entry in config.entries.items():
            old = self.wanted.get(name)
            if old is None:
                log.info("adding model %s", name)
            elif old.digest != entry.digest:
                log.info("updating model %s", name)
        for name in sorted(self.wanted.keys() - config.entries.keys()):
            log.info("removing model %s", name)
        self.wanted = config.entries
        self.memory = {name: self.memory[name] for name in self.memory if name in self.wanted or name in self.disk}
        self.changed.set()

    def remember(self, name: str, memory: RetryState) -> None:
        """Keep a memory of the work for a model."""
        self.memory[name] = memory
        self.changed.set()

    def forget(self, name: str) -> None:
        """Drop the memory of a model that is gone."""
        self.memory.pop(name, None)

    def rescan(self) -> None:
        """List the volume again."""
        scanned = self._store.scan()
        if scanned is not self._scanned and scanned != self.disk:
            self.disk = dict(scanned)
            self.changed.set()
        self._scanned = scanned

    def on_disk(self, name: str, found: OnDisk | None) -> None:
        """Note what was just done to one model's folder; the next look at the disk judges that, too."""
        self._scanned = {}
        if found is None:
            self.disk.pop(name, None)
        else:
            self.disk[name] = found
        self.changed.set()

    async def poll_server(self) -> Mapping[str, ServerModel]:
        """Return the server's index, asked for after this call. Raises `ServerUnavailableError`."""
        return await self.looks.fresh()

    async def _ask(self) -> Mapping[str, ServerModel]:
        """Ask the server for its index; when it does not answer, nothing is known to be loaded."""
        try:
            index = await self._server.index()
        except ServerUnavailableError as error:
            self._take(None, str(error))
            raise
        self._take(index)
        return index

    def _take(self, index: Mapping[str, ServerModel] | None, why: str = "") -> None:
        if (index is None) != (self.index is None):
            log.info("model server is ready") if index is not None else log.error("model server is lost: %s", why)
        if index is not self.index and index != self.index:
            self.index = index
            self.changed.set()
