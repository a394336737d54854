"""HTTP server of all programs: aiohttp on one port, with or without TLS, with a graceful stop."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from aiohttp import web

from manyserve.api.errors import StartupError
from manyserve.connections import MAX_CONNECTIONS, Acceptor

HANDSHAKE_SECONDS = 5.0
"""Seconds of the longest TLS handshake."""
IDLE_SECONDS = 120.0
"""Seconds after which an idle connection is closed. An API server's client closes it earlier, so no request meets a
connection that is about to close."""
BACKLOG = 1024
MAX_HEADERS = 32
"""Headers of a request. API servers, kubelets and monitoring send a dozen."""
MAX_HEADER_BYTES = 4096
"""Bytes of a header, or of the first line: a token of a ServiceAccount has some 1,500."""
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
        Largest number of connections; at this number a new one replaces an old one. A lost connection cancels its
        request.
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
        connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=idle,
            shutdown_timeout=stop_seconds,
            handler_cancellation=True,
            max_headers=MAX_HEADERS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        self._host = host
        self._port = port
        self._tls = tls
        self._connections = connections
        self._acceptor: Acceptor | None = None

    async def start(self) -> int:
        """Listen, and return the port. Raises `StartupError`."""
        await self._runner.setup()
        if self._runner.server is None:
            raise AssertionError("a runner that is set up has a server")
        try:
            listener = _listen(self._host, self._port)
        except OSError as error:
            await self._runner.cleanup()
            raise StartupError(f"cannot bind {self._host or ALL}:{self._port}: {_reason(error)}") from error
        self._acceptor = Acceptor(listener, self._runner.server, self._tls, HANDSHAKE_SECONDS, self._connections)
        return int(listener.getsockname()[1])

    async def stop(self) -> None:
        """Close the port, wait for running requests, and close their connections."""
        if self._acceptor is not None:
            await self._acceptor.close()
        await self._runner.cleanup()


def _listen(host: str | None, port: int) -> socket.socket:
    """Return a listening socket of an address, or of all addresses of IPv4 and IPv6. Raises `OSError`."""
    try:
        listener = _bound(host, port, dual=host is None and socket.has_dualstack_ipv6())
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise
        listener = _bound(host, port, dual=False)  # the node has IPv6 switched off
    listener.settimeout(0)  # non-blocking
    return listener


def _bound(host: str | None, port: int, *, dual: bool) -> socket.socket:
    family = socket.AF_INET6 if dual else socket.AF_INET
    return socket.create_server((host or "", port), family=family, backlog=BACKLOG, dualstack_ipv6=dual)


def _reason(error: OSError) -> str:
    """Return the system's text of an error."""
    number = error.errno or 0
    return os.strerror(number).lower() if number > 0 else str(error.strerror or error)
