"""A port that is listened on, plain or over TLS, with an end to everything that could hold it up."""

from __future__ import annotations

import asyncio
import ssl

from aiohttp import web

from manyserve.api.errors import StartupError

HANDSHAKE_SECONDS = 5.0
IDLE_SECONDS = 120.0
STOP_SECONDS = 2.0
BACKLOG = 1024


class Listener:
    """One port that is listened on, until `stop`.

    A connection that says nothing for `idle` seconds is closed; it is more than the idle time of an API
    server's client, so that none sends a request into a connection that we are about to close.
    """

    def __init__(
        self,
        app: web.Application,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        host: str | None = None,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=idle, shutdown_timeout=STOP_SECONDS)
        self._address = (host, port)
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen, and return the port. Raises `StartupError`."""
        await self._runner.setup()
        accept = self._runner.server
        if accept is None:
            raise AssertionError("a runner that is set up has a server")
        host, port = self._address
        try:
            self._server = await asyncio.get_running_loop().create_server(
                accept,
                host,
                port,
                ssl=self._tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
                ssl_shutdown_timeout=1.0 if self._tls else None,
            )
        except OSError as error:
            raise StartupError(f"port {port} cannot be listened on: {error.strerror or error}") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take no new connections, let running requests end, and close."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
