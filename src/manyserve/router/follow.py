"""Follower of one agent: a long poll of `/routes`, ended early when Envoy has acknowledged more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp

from manyserve.api.routes import MAX_BYTES, Routes, read_routes
from manyserve.backoff import Backoff
from manyserve.redaction import one_line
from manyserve.response_body import read_at_most
from manyserve.router.state import AgentView

log = logging.getLogger("manyserve.router")

WAIT_SECONDS = 2.0
LATE_SECONDS = 1.5
"""With the wait less than the 5 s after which an agent counts as silent."""
SETTLE_SECONDS = 0.5
"""Time for Envoy to acknowledge a report, so that one poll says that it came and that Envoy has it."""
BACKOFF = Backoff(base=0.2, cap=1.0)
ERRORS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


class Follower:
    """Follows one agent until cancelled.

    Parameters
    ----------
    on_routes
        Called with each answer.
    on_poll
        Called with the result of each poll: `ok`, `cut` or `failed`.
    """

    def __init__(
        self,
        view: AgentView,
        url: str,
        router: str,
        session: aiohttp.ClientSession,
        on_routes: Callable[[Routes], None],
        on_poll: Callable[[str], None],
    ) -> None:
        self.acknowledged = asyncio.Event()
        """Set when Envoy has acknowledged a further revision."""
        self._view = view
        self._url = f"{url}/routes"
        self._router = router
        self._session = session
        self._on_routes = on_routes
        self._on_poll = on_poll

    async def run(self) -> None:
        """Poll again and again."""
        failures = 0
        while True:
            try:
                routes = await self._until_acknowledged(self._poll)
            except ERRORS as error:
                failures += 1
                self._on_poll("failed")
                log.log(_level(failures), "The agent of %s does not answer: %s", self._view.pod.name, one_line(error))
                await asyncio.sleep(BACKOFF.delay(failures))
                continue
            failures = 0
            if routes is None:
                self._on_poll("cut")
                continue
            self._on_poll("ok")
            self._on_routes(routes)
            if self._view.seen < self._view.have:
                await self._wait_for_acknowledgement()

    async def end(self) -> None:
        """Say good-bye, so that the agent does not wait for this router."""
        timeout = aiohttp.ClientTimeout(total=LATE_SECONDS)
        with suppress(*ERRORS):
            async with self._session.delete(self._url, params={"router": self._router}, timeout=timeout):
                pass

    async def _until_acknowledged(self, poll: Callable[[], Awaitable[Routes]]) -> Routes | None:
        """Return the result of a poll; None when an acknowledgement has ended it."""
        self.acknowledged.clear()
        polling = asyncio.ensure_future(poll())
        acknowledged = asyncio.create_task(self.acknowledged.wait())
        try:
            await asyncio.wait({polling, acknowledged}, return_when=asyncio.FIRST_COMPLETED)
            return polling.result() if polling.done() else None
        finally:
            for task in (polling, acknowledged):
                task.cancel()

    async def _wait_for_acknowledgement(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await self.acknowledged.wait()

    async def _poll(self) -> Routes:
        """Poll once. Raises one of `ERRORS`."""
        view = self._view
        params = {"router": self._router, "wait": f"{WAIT_SECONDS:g}"}
        if view.instance:
            params |= {"instance": view.instance, "have": str(view.have), "seen": str(view.seen)}
        timeout = aiohttp.ClientTimeout(total=WAIT_SECONDS + LATE_SECONDS)
        async with self._session.get(self._url, params=params, timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"it answered {answer.status}")
            body = await read_at_most(answer, MAX_BYTES)
            if body is None:
                raise ValueError(f"its answer has more than {MAX_BYTES} bytes")
        return read_routes(body)


def _level(failures: int) -> int:
    """Return the level of a failure's log line: only the first one in a row is a warning."""
    return logging.WARNING if failures == 1 else logging.DEBUG
