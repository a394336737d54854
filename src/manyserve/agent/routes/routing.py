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
    """The route table of one agent, and the routers that follow it.

    Parameters
    ----------
    on_routed
        Called when other models are routed.
    """

    def __init__(self, instance: str, clock: Callable[[], float], on_routed: Callable[[], None]) -> None:
        self.table = RouteTable(instance)
        self._clock = clock
        self._on_routed = on_routed
        self._seen = 0
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

    def routed(self) -> frozenset[str]:
        """Return the loaded models that each router that counts has; none when no router counts."""
        return self.table.loaded_by(self._routers.seen_by_all(self._clock()))

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
        seen = self._routers.seen_by_all(self._clock())
        if seen != self._seen:
            self._seen = seen
            self._on_routed()
        self._heard.set()
        self._heard = asyncio.Event()
