"""Response of `/traffic`: the counters of the model server, read on demand, at most once in `FRESH_SECONDS`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import aiohttp
from aiohttp import web

from manyserve.agent.concurrency import in_thread
from manyserve.agent.servers.counters import COUNTERS, CounterNames, read_counters
from manyserve.api.routes import Traffic
from manyserve.redaction import one_line
from manyserve.response_body import read_at_most

FRESH_SECONDS = 1.0
READ_SECONDS = 4.0
"""Less than the 5 s between two polls of the operator."""
MAX_PAGE = 64 * 1024 * 1024
"""Bytes of a page with the metrics of 32,000 models."""


class TrafficPage:
    """Cached response for one server.

    Parameters
    ----------
    url
        URL of the server's metrics.
    loaded
        Returns the models that are loaded now.
    """

    def __init__(
        self,
        instance: str,
        dialect: str,
        url: str,
        clock: Callable[[], float],
        loaded: Callable[[], Collection[str]],
    ) -> None:
        self._instance = instance
        self._names = COUNTERS.get(dialect)
        self._url = url
        self._clock = clock
        self._loaded = loaded
        self._lock = asyncio.Lock()
        self._body = b""
        self._until = float("-inf")

    async def get(self, _: web.Request) -> web.Response:
        """Answer with the counters, or with 503 and a sentence."""
        if self._names is None:
            return _response(Traffic(instance=self._instance, counted=False).model_dump_json().encode())
        try:
            async with self._lock, asyncio.timeout(READ_SECONDS):
                if self._clock() >= self._until:
                    self._body = await self._read(self._names)
                    self._until = self._clock() + FRESH_SECONDS
                return _response(self._body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = one_line(error) or type(error).__name__
            return web.Response(status=503, text=f"the metrics of the model server cannot be read: {reason}\n")

    async def _read(self, names: CounterNames) -> bytes:
        """Return the serialized counters. Raises `aiohttp.ClientError`, `OSError`, `ValueError`."""
        loaded = self._loaded()
        async with aiohttp.ClientSession() as session, session.get(self._url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"the page answered {answer.status}")
            page = await read_at_most(answer, MAX_PAGE)
            if page is None:
                raise ValueError(f"the page has more than {MAX_PAGE} bytes")
        return await in_thread(_parse, page, names, loaded, self._instance)


def _parse(page: bytes, names: CounterNames, loaded: Collection[str], instance: str) -> bytes:
    models = read_counters(page.decode(errors="replace"), names, loaded)
    return Traffic(instance=instance, counted=True, models=models).model_dump_json(exclude_none=True).encode()


def _response(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
