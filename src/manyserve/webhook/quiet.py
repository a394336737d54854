"""Connections that never say anything are closed: aiohttp gives them for ever until their first request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

FIRST_REQUEST_SECONDS = 15.0


class QuietGuard:
    """Closes each connection whose first request has not come in time."""

    def __init__(self, seconds: float = FIRST_REQUEST_SECONDS) -> None:
        self._seconds = seconds
        self._waiting: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self.middleware = web.middleware(self._heard)

    def watching(self, runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
        """Return the runner's way of taking a connection, watched."""

        def accept() -> asyncio.Protocol:
            server = runner.server
            if server is None:
                raise ConnectionAbortedError("the server has stopped")
            protocol = server()
            timer = asyncio.get_running_loop().call_later(self._seconds, self._close, protocol)
            self._waiting[protocol] = timer
            return protocol

        return accept

    def stop(self) -> None:
        """Wait for nobody any more."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    async def _heard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        timer = self._waiting.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        return await handler(request)

    def _close(self, protocol: web.RequestHandler) -> None:
        self._waiting.pop(protocol, None)
        if protocol.transport is not None:
            protocol.transport.abort()
