"""Bodies of reviews: limits on size and time, fair turns of the clients, and a duty cycle for costly reviews.

Any client that reaches the port may send many bodies at once. Large ones would together exceed the memory of the
container, so few of them are in memory at a time, and the others wait in their connections. A review runs in the event
loop, in which no other one is answered meanwhile. So one review is done in each turn of the loop, and the addresses of
the clients have equal shares of these turns.

A large body, or one with many values, takes up to 0.2 s. Such costly reviews have turns of their own. A pause of
`PAUSES` times the processor time follows each, in which the others are answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from manyserve.fair_semaphore import FairSemaphore
from manyserve.json_size import separators

LIMIT = 7 * 1024**2
"""Bytes of a body, the limit of controller-runtime: an update carries the object twice."""
READ_TIMEOUT = 10.0
"""Seconds until the whole body must have arrived, and its turn begun; a large one first waits for a permit as long."""
SMALL_BODY = 32 * 1024
"""Bytes of a body that is read without a permit."""
USUAL_SEPARATORS = 1000
"""Opening brackets and commas of a body of usual cost, some 20 ms at most. An update of a host has some hundred."""
MAX_LARGE_READS = 8
"""Large bodies in memory; those of one address are half of them at most."""
PAUSES = 9
"""Costly reviews take a tenth of the event loop at most, apart from the reading of their bodies."""

T = TypeVar("T")


class BodyError(Exception):
    """A body is not reviewed: the status and the sentence of the response."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Bodies:
    """Reader of bodies."""

    def __init__(self) -> None:
        self._large_reads = FairSemaphore(MAX_LARGE_READS)
        self._usual = FairSemaphore(1)
        self._costly = FairSemaphore(1)

    async def handle(self, request: web.Request, work: Callable[[bytearray], T]) -> T:
        """Return the result of the work on the body.

        Raises `BodyError`, `web.RequestPayloadError`, and the errors of the work.
        """
        length, address = request.content_length, request.remote or ""
        if length is not None and length > LIMIT:
            raise _too_large()
        is_packed = "Content-Encoding" in request.headers
        if length is not None and length <= SMALL_BODY and not is_packed:
            return await self._read_and_work(request, address, work)
        await _in_time(self._large_reads.acquire(address), _deadline(), _without_turn)
        began = time.monotonic()
        try:
            return await self._read_and_work(request, address, work)
        finally:
            self._large_reads.release(address, time.monotonic() - began)

    async def _read_and_work(self, request: web.Request, address: str, work: Callable[[bytearray], T]) -> T:
        until = _deadline()
        body = await _in_time(_read(request), until, _late)
        is_costly = len(body) > SMALL_BODY or separators(body) > USUAL_SEPARATORS
        turns = self._costly if is_costly else self._usual
        await _in_time(turns.acquire(address), until, _without_turn)
        began = time.thread_time()  # a throttled container makes no pause longer
        try:
            return work(body)
        finally:
            used = time.thread_time() - began
            pause = PAUSES * used if is_costly else 0  # the next one waits for the next turn of the loop at least
            asyncio.get_running_loop().call_later(pause, turns.release, address, used)


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
