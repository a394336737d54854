"""HTTP server of all programs: aiohttp on one port, with or without TLS, with a graceful stop."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque

from aiohttp import web

from manyserve.api.errors import StartupError

HANDSHAKE_SECONDS = 5.0
"""Seconds of the longest TLS handshake."""
IDLE_SECONDS = 120.0
"""Seconds after which an idle connection is closed. An API server's client closes it earlier, so no request meets a
connection that is about to close."""
BACKLOG = 1024
CHECK_SECONDS = 0.05
"""Delay of a check of the number of connections, in which a short request is answered."""
ALL = "0.0.0.0"  # noqa: S104  pods are reached by their address
"""All addresses, in messages."""


class HttpServer:
    """Server of an aiohttp application on one port, from `start` to `stop`.

    Parameters
    ----------
    host
        The address to bind; None: all addresses.
    stop_seconds
        Seconds for which `stop` waits for running requests.
    connections
        Largest number of connections; None: any. Beyond it the client with the most loses its oldest ones, so that no
        client keeps another one away. A lost connection cancels its request.
    """

    def __init__(
        self,
        app: web.Application,
        port: int,
        tls: ssl.SSLContext | None = None,
        *,
        host: str | None = None,
        idle: float = IDLE_SECONDS,
        stop_seconds: float = 0.5,
        connections: int | None = None,
    ) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=idle,
            shutdown_timeout=stop_seconds,
            handler_cancellation=connections is not None,
        )
        self._connections = connections
        self._check: asyncio.TimerHandle | None = None
        self._host = host
        self._port = port
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen, and return the port. Raises `StartupError`."""
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._protocol,
                self._host,
                self._port,
                ssl=self._tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
                ssl_shutdown_timeout=1.0 if self._tls else None,
            )
        except OSError as error:
            await self._runner.cleanup()
            raise StartupError(f"cannot bind {self._host or ALL}:{self._port}: {_reason(error)}") from error
        return int(self._server.sockets[0].getsockname()[1])

    def _protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection, and have the number of connections checked."""
        if self._runner.server is None:
            raise AssertionError("a runner that is set up has a server")
        if self._connections is not None and self._check is None:
            self._check = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check_connections)
        return self._runner.server()

    def _check_connections(self) -> None:
        self._check = None
        if self._connections is not None and self._runner.server is not None:
            _close_oldest(self._runner.server, self._connections)

    async def stop(self) -> None:
        """Close the port, wait for running requests, and close their connections."""
        if self._check is not None:
            self._check.cancel()
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()


def _close_oldest(server: web.Server, limit: int) -> None:
    """Close the connections beyond the limit: of the client with the most, the oldest one, until they are enough."""
    transports = [handler.transport for handler in server.connections if handler.transport is not None]
    clients: dict[str, deque[asyncio.Transport]] = {}
    for transport in transports if len(transports) > limit else ():
        address, *_ = transport.get_extra_info("peername") or ("",)
        clients.setdefault(address, deque()).append(transport)
    for _ in range(len(transports) - limit):
        max(clients.values(), key=len).popleft().abort()


def _reason(error: OSError) -> str:
    """Return the system's text of an error; the texts of asyncio and uvloop differ."""
    number = error.errno or 0
    return os.strerror(number).lower() if number > 0 else str(error.strerror or error)
