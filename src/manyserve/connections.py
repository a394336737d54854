"""Accept loop with a cap on open connections, since each costs memory before it has sent a request.

At the cap, a new connection replaces the oldest one of the address with the most connections. So a client that opens
thousands of them loses its own, and the others are answered.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

MAX_CONNECTIONS = 512
"""Open connections of one port: more than an API server's requests in flight, and some ten megabytes with TLS."""
_PAUSE = 0.1
"""Seconds until the next attempt when the process has no file descriptor left."""

_log = logging.getLogger(__name__)


class _Connection(NamedTuple):
    peer: str
    socket: socket.socket


class Acceptor:
    """Accepts the connections of a listening socket, until `close`.

    Parameters
    ----------
    protocols
        Returns the protocol of a new connection.
    handshake_seconds
        Seconds of the longest TLS handshake.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocols: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
        limit: int,
    ) -> None:
        self._listener = listener
        self._protocols = protocols
        self._tls = tls
        self._handshake_seconds = handshake_seconds
        self._limit = limit
        self._open: list[_Connection] = []
        """The oldest first; some may be closed already."""
        self._handshakes: set[asyncio.Task[None]] = set()
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Close the listening socket, and end the handshakes."""
        tasks = [self._loop, *self._handshakes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listener)
            except OSError as error:  # the client is gone already, or there are too many open files
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    _log.warning("no connection can be accepted: %s", error.strerror)
                    await asyncio.sleep(_PAUSE)
                continue
            self._evict()
            self._open.append(_Connection(str(address[0]), accepted))
            task = asyncio.create_task(self._connect(accepted))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _evict(self) -> None:
        """End the oldest connection of the address with the most, when there are too many."""
        if len(self._open) < self._limit:
            return
        self._open = [each for each in self._open if each.socket.fileno() >= 0]
        if len(self._open) < self._limit:
            return
        ((peer, _),) = Counter(each.peer for each in self._open).most_common(1)
        oldest = next(each for each in self._open if each.peer == peer)
        self._open.remove(oldest)
        with suppress(OSError):  # the client has closed it
            oldest.socket.shutdown(socket.SHUT_RDWR)

    async def _connect(self, accepted: socket.socket) -> None:
        """Hand a connection to its protocol, after the TLS handshake."""
        seconds = self._handshake_seconds if self._tls else None
        shutdown = 1.0 if self._tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocols,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=shutdown,
            )
        except (OSError, TimeoutError) as error:  # also `ssl.SSLError`: a client without our TLS, or a slow one
            _log.debug("handshake failed: %s", error)
            accepted.close()
