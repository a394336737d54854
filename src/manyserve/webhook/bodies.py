"""Bodies of reviews: limits on size and time, a semaphore for large ones, and a duty cycle of the event loop.

Any client that reaches the port may send many large bodies at once. Together they would exceed the memory of the
container, so few of them are in memory at a time, and the others wait in their connections. To parse one takes up to
0.2 s of the event loop, in which no other review is answered. So they are parsed one after another, each followed by a
pause of `PAUSES` times as long. A body of usual size with a Content-Length never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

LIMIT = 7 * 1024**2
"""Bytes of a body, the limit of controller-runtime: an update carries the object twice."""
READ_TIMEOUT = 10.0
"""Seconds until the whole body must have arrived, and its turn begun."""
SMALL_BODY = 32 * 1024
"""Bytes of a body that is read without a permit."""
MAX_LARGE_READS = 4
PAUSES = 9
"""Large bodies take a tenth of the event loop at most, apart from their reading."""

T = TypeVar("T")


class TooLargeError(Exception):
    """A body has more bytes than `LIMIT`."""


class Bodies:
    """Reader of bodies."""

    def __init__(self) -> None:
        self._large_reads = asyncio.Semaphore(MAX_LARGE_READS)
        self._turn = asyncio.Lock()
        self._free_at = 0.0

    async def handle(self, request: web.Request, work: Callable[[bytearray], T]) -> T:
        """Return the result of the work on the body.

        Raises `TimeoutError`, `TooLargeError`, `web.RequestPayloadError`, and the errors of the work.
        """
        length = request.content_length
        if length is not None and length > LIMIT:
            raise TooLargeError
        is_packed = "Content-Encoding" in request.headers
        if length is not None and length <= SMALL_BODY and not is_packed:
            async with asyncio.timeout(READ_TIMEOUT):
                body = await _read(request)
            return work(body)
        async with asyncio.timeout(READ_TIMEOUT), self._large_reads:
            body = await _read(request)
            async with self._turn:
                return await self._in_turn(body, work)

    async def _in_turn(self, body: bytearray, work: Callable[[bytearray], T]) -> T:
        await asyncio.sleep(self._free_at - time.monotonic())
        began = time.monotonic()  # the loop's own clock stands still during the work
        try:
            return work(body)
        finally:
            ended = time.monotonic()
            self._free_at = ended + PAUSES * (ended - began)


async def _read(request: web.Request) -> bytearray:
    """Read to the end. `request.read` would hold the body until the next request of the connection."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LIMIT:
            raise TooLargeError
    return body
