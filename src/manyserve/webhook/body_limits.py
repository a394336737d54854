"""The bodies of requests, within limits: on the bytes and seconds of each, and on the large ones at a time.

Anyone who reaches the port may send many large bodies at once, and all of them in memory would be more than the
container has. So few are read at a time and the others wait in their connections; a review of usual size, which
says how long it is, waits for nobody.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

LIMIT = 7 * 1024**2
"""Bytes, as controller-runtime allows: an update carries the object twice."""
SECONDS = 10.0
USUAL = 32 * 1024
LARGE_AT_ONCE = 4


class TooLargeError(Exception):
    """A body with more bytes than any review has."""


class BodyLimits:
    """Reads them."""

    def __init__(self) -> None:
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def read(self, request: web.Request) -> bytearray:
        """Return the body. Raises `TimeoutError`, `TooLargeError` or `web.RequestPayloadError`."""
        length = request.content_length
        if length is not None and length > LIMIT:
            raise TooLargeError
        is_packed = "Content-Encoding" in request.headers
        async with asyncio.timeout(SECONDS):
            if length is not None and length <= USUAL and not is_packed:
                return await _read(request)
            async with self._large:
                return await _read(request)


async def _read(request: web.Request) -> bytearray:
    """Read to the end. `request.read` would keep the body for as long as the connection stays without another one."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LIMIT:
            raise TooLargeError
    return body
