"""Make-before-break: a model leaves the routers before it leaves the server.

An acknowledgement alone is not enough. Workers of Envoy apply an update a moment after it, and requests are on their
way. So an unload follows `GRACE_SECONDS` after the last acknowledgement.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from manyserve.agent.routes.routers import BOUND_SECONDS, Routers
from manyserve.agent.routes.table import RouteTable
from manyserve.api.routes import RouteState

log = logging.getLogger("manyserve.agent")

GRACE_SECONDS = 1.0
LONGEST_LEAVE = BOUND_SECONDS + GRACE_SECONDS


class Routing:
    """The route table of one agent, and the routers that follow it."""

    def __init__(self, instance: str, clock: Callable[[], float]) -> None:
        self.table = RouteTable(instance)
        self._clock = clock
        self._routers = Routers(clock())
        self._heard = asyncio.Event()

    def hear(self, router: str, seen: int) -> bool:
        """Record a poll. Return False when there are too many routers."""
        is_known = self._routers.hear(router, min(seen, self.table.revision), self._clock())
        self._wake()
        return is_known

    def forget(self, router: str) -> None:
        """Drop a router that has ended."""
        self._routers.forget(router)
        self._wake()

    def is_routed(self, name: str) -> bool:
        """Return whether the model is loaded, and each router that counts has seen that; at least one must count."""
        revision = self.table.since(name, RouteState.LOADED)
        return revision is not None and self._routers.have_seen(revision, self._clock())

    async def leave(self, name: str) -> None:
        """Wait until no router sends requests for a model that is `Leaving`."""
        started = self._clock()
        revision = self.table.since(name, RouteState.LEAVING) or self.table.revision
        while seconds := self._routers.seconds_to_wait(revision, started, self._clock()):
            await self._wait_for_poll(seconds)
        late = self._routers.end_wait(revision, self.table.revision, self._clock())
        if late:
            log.warning("Routers without an acknowledgement before the unload of model %s: %s", name, ", ".join(late))
        await asyncio.sleep(GRACE_SECONDS)

    async def _wait_for_poll(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._heard.set()
        self._heard = asyncio.Event()
