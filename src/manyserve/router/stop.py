"""Order of the stop. The router program outlives its Envoy, so that each change reaches Envoy until its end.

1. Not ready, and Envoy closes connections after their next response.
2. Wait until no Service sends new connections, and then until no request runs.
3. End Envoy, and then the program, with a good-bye to the agents.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from manyserve.router.admin import EnvoyAdmin
from manyserve.router.settings import RouterSettings

log = logging.getLogger("manyserve.router")

POLL_SECONDS = 0.1
END_SECONDS = 5.0
"""Longest wait for the end of Envoy."""


class Stop:
    """The stop of one router, requested by a signal. The kubelet sends it while it calls Envoy's hook."""

    def __init__(self, envoy: EnvoyAdmin, settings: RouterSettings) -> None:
        self.requested = asyncio.Event()
        self._drained = asyncio.Event()
        self._envoy = envoy
        self._settings = settings

    async def until_drained(self) -> None:
        """Wait until Envoy has no more requests. Any pod may call this, so it requests no stop."""
        await self._drained.wait()

    async def run(self) -> None:
        """Drain and end Envoy. Without a running Envoy there is nothing to wait for."""
        log.info("stopping")
        if await self._envoy.fail_health_check():
            await asyncio.sleep(self._settings.endpoint_seconds)
            await self._wait_for_requests()
        self._drained.set()
        await self._envoy.quit()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                while await self._envoy.is_running():  # noqa: ASYNC110  another process
                    await asyncio.sleep(POLL_SECONDS)

    async def _wait_for_requests(self) -> None:
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                while await self._envoy.active_requests():  # noqa: ASYNC110  another process
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            log.warning("requests still run after %g s", self._settings.drain_seconds)
