"""Bodies of reviews: limits on size and time, a semaphore for large ones, and a duty cycle of the event loop.

Any client that reaches the port may send many large bodies at once. Together they would exceed the memory of the
container, so few of them are in memory at a time, and the others wait in their connections. To parse one takes up to
0.2 s of the event loop, in which no other review is answered. So they are parsed one after another, each followed by a
pause of `PAUSES` times its processor time. A body of usual size with a Content-Length never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

LIMIT = 7 * 1024**2
"""Bytes of a body, the limit of controller-runtime: an update carries the object twice."""
READ_TIMEOUT = 10.0
"""Seconds in which a permit must be free, and then those until the whole body must have arrived, and its turn begun."""
SMALL_BODY = 32 * 1024
"""Bytes of a body that is read without a permit."""
MAX_LARGE_READS = 4
PAUSES = 9
"""Large bodies take a tenth of the event loop at most, apart from their reading."""

T = TypeVar("T")


class BodyError(Exception):
    """A body is not reviewed: the status and the sentence of the response."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Bodies:
    """Reader of bodies."""

    def __init__(self) -> None:
        self._large_reads = asyncio.Semaphore(MAX_LARGE_READS)
        self._turn = asyncio.Lock()

    async def handle(self, request: web.Request, work: Callable[[bytearray], T]) -> T:
        """Return the result of the work on the body.

        Raises `BodyError`, `web.RequestPayloadError`, and the errors of the work.
        """
        length = request.content_length
        if length is not None and length > LIMIT:
            raise _too_large()
        is_packed = "Content-Encoding" in request.headers
        if length is not None and length <= SMALL_BODY and not is_packed:
            return work(await _in_time(_read(request), _deadline(), _late))
        await _in_time(self._large_reads.acquire(), _deadline(), _without_turn)
        try:
            until = _deadline()
            body = await _in_time(_read(request), until, _late)
            await _in_time(self._turn.acquire(), until, _without_turn)
            return self._in_turn(body, work)
        finally:
            self._large_reads.release()

    def _in_turn(self, body: bytearray, work: Callable[[bytearray], T]) -> T:
        """Work on a large body. The next turn begins after the pause, and a throttled container makes it no longer."""
        began = time.thread_time()
        try:
            return work(body)
        finally:
            pause = PAUSES * (time.thread_time() - began)
            asyncio.get_running_loop().call_later(pause, self._turn.release)


def _deadline() -> float:
    return asyncio.get_running_loop().time() + READ_TIMEOUT


async def _in_time(step: Awaitable[T], until: float, error: Callable[[], BodyError]) -> T:
    """Wait for a step until this time of the loop, and raise the error if it takes longer."""
    try:
        async with asyncio.timeout_at(until):
            return await step
    except TimeoutError:
        raise error() from None


async def _read(request: web.Request) -> bytearray:
    """Read to the end. `request.read` would hold the body until the next request of the connection."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LIMIT:
            raise _too_large()
    return body


def _too_large() -> BodyError:
    return BodyError(413, f"the body is too large; it must be at most {LIMIT} bytes")


def _late() -> BodyError:
    return BodyError(408, f"the body did not arrive within {READ_TIMEOUT:g} seconds")


def _without_turn() -> BodyError:
    return BodyError(503, f"there are too many reviews: this one had no turn within {READ_TIMEOUT:g} seconds")
