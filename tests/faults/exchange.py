"""One request that passes the proxy: its verb and path, its outcome, and the real response.

Verbs are the API server's own (`list` and `watch` are no `get`), so that a rule can distinguish them.
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

WRITES = ("create", "update", "patch", "delete")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLLECTION = re.compile(r"^/(api/v1|apis/[^/]+/[^/]+)(/namespaces/[^/]+)?/[^/]+$")
_PASSED_ON = ("Authorization", "Accept", "Content-Type", "User-Agent")
_RESET = struct.pack("ii", 1, 0)


@dataclass
class Line:
    """A line of the history, with times in seconds of a monotonic clock."""

    at: float
    client: str
    verb: str
    path: str
    status: int = 0
    """0: no response."""
    seconds: float = 0.0
    fault: str = ""
    """The action of a rule, or empty."""


@dataclass
class Exchange:
    """A request in flight."""

    request: web.Request
    upstream: aiohttp.ClientSession
    client: str
    path: str
    """The path without the client, with the query."""
    verb: str
    lists: dict[str, bytes] = field(default_factory=dict)
    """The first response to each list, by path: the response of an API server that is far behind."""

    async def ask(self) -> aiohttp.ClientResponse:
        """Send the request, and return the response with an unread body. Raises `aiohttp.ClientError`."""
        headers = {name: value for name in _PASSED_ON if (value := self.request.headers.get(name))}
        url = URL(self.path, encoded=True)
        return await self.upstream.request(
            self.request.method, url, data=await self.request.read() or None, headers=headers
        )

    async def forward(self) -> web.StreamResponse:
        """Send the request, and pass on the response."""
        try:
            async with await self.ask() as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return self.reset()  # as the API server itself would do
        if self.verb == "list" and answer.status == 200:
            self.lists.setdefault(self.path, body)
        headers = {name: answer.headers[name] for name in ("Content-Type", "Retry-After") if name in answer.headers}
        return web.Response(body=body, status=answer.status, headers=headers)

    def reset(self) -> web.StreamResponse:
        """Reset the connection, as a program that dies does."""
        hang_up(self.request)
        return web.Response(status=web.HTTPBadGateway.status_code)  # nobody reads it


def hang_up(request: web.Request) -> None:
    """Reset a client's connection at once."""
    if request.transport is not None:
        own: socket.socket = request.transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        request.transport.abort()


def verb_of(method: str, path: str, *, watch: bool) -> str:
    """Return the API server's verb for a request."""
    if method != "GET":
        return _VERBS.get(method, method.lower())
    if watch:
        return "watch"
    return "list" if _COLLECTION.match(path) else "get"
