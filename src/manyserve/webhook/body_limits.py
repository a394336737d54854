"""Limits on request bodies: bytes and seconds for each, and the number of large ones at a time.

Any client that reaches the port may send many large bodies at once, which together would exceed the memory of the
container. So few large ones are read at a time, and the others wait in their connections. A review of usual size with a
Content-Length never waits.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

LIMIT = 7 * 1024**2
"""Bytes of a body, the limit of controller-runtime: an update carries the object twice."""
READ_TIMEOUT = 10.0
"""Seconds until the whole body must have arrived."""
SMALL_BODY = 32 * 1024
"""Bytes of a body that is read without a permit."""
MAX_LARGE_READS = 4


class TooLargeError(Exception):
    """A body has more bytes than `LIMIT`."""


class BodyLimits:
    """Reader of bodies, with a semaphore for large ones."""

    def __init__(self) -> None:
        self._large_reads = asyncio.Semaphore(MAX_LARGE_READS)

    async def read(self, request: web.Request) -> bytearray:
        """Return the body. Raises `TimeoutError`, `TooLargeError` or `web.RequestPayloadError`."""
        length = request.content_length
        if length is not None and length > LIMIT:
            raise TooLargeError
        is_packed = "Content-Encoding" in request.headers
        async with asyncio.timeout(READ_TIMEOUT):
            if length is not None and length <= SMALL_BODY and not is_packed:
                return await _read(request)
            async with self._large_reads:
                return await _read(request)


async def _read(request: web.Request) -> bytearray:
    """Read to the end. `request.read` would hold the body until the next request of the connection."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LIMIT:
            raise TooLargeError
    return body
