"""Requests to the API server and their answers: connections, tokens, waiting when told to, errors.

One pool of at most 32 connections: more than that only adds latency, and a burst of hundreds is refused by
the API server's fair queuing (both measured). Watches have connections of their own, one each.
Every answer that is no success becomes a `ClusterError`.
A 429 or 503 with Retry-After was not processed, so it is sent again after that time; a 401 is sent again
once with the token read anew. Nothing else is repeated here: whoever plans, plans again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import aiohttp
from pydantic_core import from_json

from manyserve.backoff import Backoff
from manyserve.cluster.body import encode
from manyserve.cluster.errors import ClusterError, Unauthorized, Unavailable, WatchTimeout, from_answer
from manyserve.cluster.fence import FencedBody, Gate
from manyserve.cluster.kubeconfig import ClusterConfig
from manyserve.cluster.lines import lines

Manifest = dict[str, Any]

CONNECTIONS = 32
REQUEST_SECONDS = 10.0
TRIES = 3
LONGEST_RETRY_AFTER = 30.0
BACKOFF = Backoff(base=0.05, cap=1.0)
"""The shortest wait before a request is sent again: Retry-After may be 0."""
JSON = "application/json"


class Transport:
    """A pool of connections to one API server. Use it as an asynchronous context manager, or call `close`.

    Parameters
    ----------
    gate
        Passes each write, or refuses it; None: all are sent.
    """

    def __init__(
        self,
        access: ClusterConfig,
        *,
        connections: int = CONNECTIONS,
        seconds: float = REQUEST_SECONDS,
        gate: Gate | None = None,
    ) -> None:
        self._access = access
        self._connections = connections
        self._seconds = seconds
        self._gate = gate
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._open: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._open, self._streams):
            if session is not None:
                await session.close()
        self._open = self._streams = None

    async def _send(
        self,
        verb: str,
        path: str,
        *,
        body: Manifest | None = None,
        content: str = JSON,
        params: Mapping[str, str] | None = None,
        accept: str = JSON,
    ) -> Manifest:
        data = None if body is None else encode(body)
        headers = {"Accept": accept} | ({"Content-Type": content} if data is not None else {})
        for attempt in range(1, TRIES + 1):
            try:
                return await self._once(verb, path, data, headers, params)
            except Unauthorized:
                if attempt > 1:
                    raise
            except ClusterError as error:
                if error.retry_after is None or attempt == TRIES:
                    raise
                await asyncio.sleep(max(min(error.retry_after, LONGEST_RETRY_AFTER), BACKOFF.delay(attempt)))
        raise AssertionError("the last try returns or raises")

    async def _stream(self, path: str, params: Mapping[str, str], silence: float) -> AsyncGenerator[Manifest, None]:
        """Yield the JSON lines of a stream until its end."""
        url, timeout = self._access.server + path, _patient(silence)
        try:
            streams = self._stream_session()
            async with streams.get(url, params=params, headers=self._headers(), timeout=timeout) as answer:
                if answer.status != 200:
                    raise await self._error(answer)
                try:
                    async for line in lines(answer.content):
                        yield from_json(line)
                finally:
                    _hang_up(answer)
        except aiohttp.SocketTimeoutError as error:
            raise WatchTimeout(f"the watch said nothing for {silence:g} s") from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"the watch broke: {error!r}") from error

    async def _once(
        self, verb: str, path: str, data: bytes | None, headers: dict[str, str], params: Mapping[str, str] | None
    ) -> Manifest:
        headers = self._headers() | headers
        url = self._access.server + path
        sent = {"params": params} if verb == "GET" else self._fenced(data, params or {})
        try:
            async with self._session().request(verb, url, headers=headers, **sent) as answer:
                if answer.status >= 300:
                    raise await self._error(answer)
                found: Manifest = from_json(await answer.read())
                return found
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"{verb} {path} had no answer: {_in_words(error)}") from error

    def _fenced(self, data: bytes | None, params: Mapping[str, str]) -> dict[str, Any]:
        """Return what is sent of a write: with a gate, one that ends when it says. Raises what the gate raises."""
        if self._gate is None:
            return {"data": data and BytesIO(data), "params": params}  # as bytes, a long one is sent at one go
        seconds = min(self._seconds, self._gate.seconds())
        return {
            "data": FencedBody(data or b"", self._gate),
            "params": {**params, "timeout": f"{seconds:.1f}s"},  # the API server gives it up then, too
            "timeout": aiohttp.ClientTimeout(total=seconds),
        }

    async def _error(self, answer: aiohttp.ClientResponse) -> ClusterError:
        if answer.status == 401:
            self._access.token.refresh()
        return from_answer(answer.status, await answer.read(), answer.headers.get("Retry-After"))

    def _headers(self) -> dict[str, str]:
        token = self._access.token()
        return {"Accept": JSON} | ({"Authorization": f"Bearer {token}"} if token else {})

    def _session(self) -> aiohttp.ClientSession:
        if self._open is None:
            connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._access.tls or True)
            self._open = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._open

    def _stream_session(self) -> aiohttp.ClientSession:
        if self._streams is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._access.tls or True)
            self._streams = aiohttp.ClientSession(connector=connector)
        return self._streams


def _patient(silence: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS, sock_read=silence)


def _hang_up(answer: aiohttp.ClientResponse) -> None:
    """End a stream that is given up before its end: a polite end of TLS would wait for an answer to it."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


def _in_words(error: Exception) -> str:
    """Return what kept an answer away, on one line; a timeout has no words of its own."""
    return " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())
