"""HTTP requests to the API server: connections, tokens, repeats after Retry-After, and errors.

One pool has at most `CONNECTIONS` connections. More only add latency, and the API server's fair queuing refuses a burst
of hundreds (both measured). Each watch has a connection of its own. A response that is no success becomes a
`ClusterError`. A 429 or 503 with Retry-After was not processed, so it is sent again after that time. A 401 is sent
again once, with the token read anew. Nothing else is repeated: the next plan repeats a write that is still needed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import aiohttp
from pydantic_core import from_json

from manyserve.backoff import Backoff
from manyserve.cluster.ending import EndingNamespaces
from manyserve.cluster.errors import ClusterError, Unauthorized, Unavailable, WatchTimeout, from_response
from manyserve.cluster.fence import FencedBody, Gate
from manyserve.cluster.kubeconfig import ClusterConfig
from manyserve.cluster.wire import encode, lines
from manyserve.cluster.write_budget import WriteBudget

Manifest = dict[str, Any]

CONNECTIONS = 32
REQUEST_SECONDS = 10.0
"""Timeout of a request, and of connecting."""
TRIES = 3
BACKOFF = Backoff(base=0.05, cap=1.0)
"""Minimum delay before a request is sent again: Retry-After may be 0."""
JSON = "application/json"
OnRequest = Callable[[str, str, int | None, float], None]
"""Called after each request with the API server's host, the method, the status code and the seconds.

A request without a response has no status code.
"""


def ignore_request(_host: str, _method: str, _code: int | None, _seconds: float) -> None:
    """Do nothing: the listener of a client without one."""


class Transport:
    """Pool of connections to one API server. Use it as an asynchronous context manager, or call `close`.

    Parameters
    ----------
    gate
        Checks each write before it is sent; None: all are sent.
    budget
        Limits the writes of each object; None: there is no limit.
    on_request
        Counts the requests.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        connections: int = CONNECTIONS,
        seconds: float = REQUEST_SECONDS,
        gate: Gate | None = None,
        budget: WriteBudget | None = None,
        on_request: OnRequest = ignore_request,
    ) -> None:
        self._config = config
        self._on_request = on_request
        self._connections = connections
        self._seconds = seconds
        self._gate = gate
        self._budget = budget
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self.ending = EndingNamespaces()
        """Namespaces to which nothing is written."""
        self._requests: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._requests, self._streams):
            if session is not None:
                await session.close()
        self._requests = self._streams = None

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
                return await self._send_once(verb, path, data, headers, params)
            except Unauthorized:
                if attempt > 1:
                    raise
            except ClusterError as error:
                if error.retry_after is None or attempt == TRIES:
                    raise
                await asyncio.sleep(max(error.retry_after, BACKOFF.delay(attempt)))
        raise AssertionError("the last try returns or raises")

    async def _stream(self, path: str, params: Mapping[str, str], silence: float) -> AsyncGenerator[Manifest, None]:
        """Yield the JSON lines of a stream until its end."""
        url, timeout = self._config.server + path, _stream_timeout(silence)
        began, code = time.monotonic(), None
        try:
            streams = self._stream_session()
            async with streams.get(url, params=params, headers=self._headers(), timeout=timeout) as response:
                code = response.status
                self._count("GET", code, began)
                if response.status != 200:
                    raise await self._error(response)
                try:
                    async for line in lines(response.content):
                        yield from_json(line)
                finally:
                    _abort(response)
        except aiohttp.SocketTimeoutError as error:
            raise WatchTimeout(f"the watch was silent for {silence:g} s") from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if code is None:
                self._count("GET", None, began)
            raise Unavailable(f"the watch broke: {error!r}") from error

    async def _send_once(
        self, verb: str, path: str, data: bytes | None, headers: dict[str, str], params: Mapping[str, str] | None
    ) -> Manifest:
        headers = self._headers() | headers
        url = self._config.server + path
        sent = {"params": params} if verb == "GET" else self._write_options(data, params or {})
        began, code = time.monotonic(), None
        try:
            async with self._session().request(verb, url, headers=headers, **sent) as response:
                code = response.status
                if response.status >= 300:
                    raise await self._error(response)
                manifest: Manifest = from_json(await response.read())
                return manifest
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"{verb} {path} had no response: {_error_text(error)}") from error
        finally:
            self._count(verb, code, began)

    def _count(self, verb: str, code: int | None, began: float) -> None:
        self._on_request(self._config.server.partition("://")[2], verb, code, time.monotonic() - began)

    def _write_options(self, data: bytes | None, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the body and timeout of a write, bounded by the gate. Raises the error of the gate."""
        if self._gate is None:
            return {"data": data and BytesIO(data), "params": params}  # bytes would be sent in one piece
        seconds = min(self._seconds, self._gate.write_timeout())
        return {
            "data": FencedBody(data or b"", self._gate),
            "params": {**params, "timeout": f"{seconds:.1f}s"},  # the API server ends it then, too
            "timeout": aiohttp.ClientTimeout(total=seconds),
        }

    async def _error(self, response: aiohttp.ClientResponse) -> ClusterError:
        if response.status == 401:
            self._config.token.refresh()
        return from_response(response.status, await response.read(), response.headers.get("Retry-After"))

    def _headers(self) -> dict[str, str]:
        token = self._config.token()
        return {"Accept": JSON} | ({"Authorization": f"Bearer {token}"} if token else {})

    def _session(self) -> aiohttp.ClientSession:
        if self._requests is None:
            connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._config.tls or True)
            self._requests = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._requests

    def _stream_session(self) -> aiohttp.ClientSession:
        if self._streams is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._config.tls or True)
            self._streams = aiohttp.ClientSession(connector=connector)
        return self._streams


def _stream_timeout(silence: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS, sock_read=silence)


def _abort(response: aiohttp.ClientResponse) -> None:
    """Abort a stream before its end: an orderly end of TLS would wait for the other side."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


def _error_text(error: Exception) -> str:
    """Return an error on one line. A timeout has no text, so the name of its class is added."""
    return " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())
