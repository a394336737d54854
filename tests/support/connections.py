"""Connections as their clients see them."""

from __future__ import annotations

import socket

import aiohttp

ADDRESS, KUBELET = "127.0.0.1", "127.0.0.2"
"""Two addresses of clients, since servers bound the connections of each."""


def closed_by_peer(connection: socket.socket) -> bool:
    """Return whether the other side has closed a connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


async def status(session: aiohttp.ClientSession, url: str) -> int:
    """Return the status of a response, or 0 without one."""
    try:
        async with session.get(url) as response:
            await response.read()
            return response.status
    except aiohttp.ClientError:
        return 0


def unlimited(source: str = ADDRESS, *, force_close: bool = False) -> aiohttp.ClientSession:
    """Return a client from this address; with `force_close` each request has a connection of its own."""
    connector = aiohttp.TCPConnector(limit=0, local_addr=(source, 0), force_close=force_close)
    return aiohttp.ClientSession(connector=connector)
