"""The model server, spoken to over the repository extension of the v2 protocol.

Its answers are not trusted further than they deserve: a load may never return, a 200 may stand for a load
that failed, an error may be megabytes of traceback. Every call opens its own connection, because a server that
works through a load blocks the thread that other requests on a kept-alive connection would wait for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp

from manyserve.agent.sync import ServerModel, ServerState
from manyserve.agent.text import READ_LIMIT, one_line

_INDEX_LIMIT = 32 * 1024 * 1024
_CONNECT_SECONDS = 5.0
# With several versions of a model in the index, the one that decides what may be done with it.
_PRECEDENCE = (ServerState.LOADING, ServerState.READY, ServerState.UNLOADING, ServerState.UNAVAILABLE)

_STATES = {state.value: state for state in ServerState}
_WITHOUT_REASON = {state: ServerModel(state) for state in ServerState}


class ServerGoneError(Exception):
    """The server does not answer, or answers nothing that makes sense."""


class ServerRefusedError(Exception):
    """The server answered that it did not do it."""


class ModelServer(Protocol):
    """What the agent needs of a model server."""

    async def index(self) -> Mapping[str, ServerModel]:
        """Return the state of every model. Raises `ServerGoneError`."""

    async def load(self, name: str) -> None:
        """Load a model, or load it again. Raises `ServerGoneError`, `ServerRefusedError`. May never return."""

    async def unload(self, name: str) -> None:
        """Ask the server to let go of a model, loaded or not. Raises `ServerGoneError`, `ServerRefusedError`."""


class V2Repository:
    """The client of a server that speaks v2, such as Triton."""

    def __init__(self, url: str, *, index_seconds: float = 5.0) -> None:
        self._url = url
        self._index_seconds = index_seconds
        self._session: aiohttp.ClientSession | None = None

    async def index(self) -> Mapping[str, ServerModel]:
        """Return the state of every model in the server's index."""
        try:
            async with asyncio.timeout(self._index_seconds):
                status, body = await self._post("index", b'{"ready": false}', _INDEX_LIMIT)
        except TimeoutError as error:
            raise ServerGoneError(f"the server's index did not come within {self._index_seconds:g} s") from error
        if status != 200:
            raise ServerGoneError(f"the server's index answered {status}: {_reason(body)}")
        return read_index(body)

    async def load(self, name: str) -> None:
        """Load a model; the caller sets the time limit."""
        status, body = await self._post(f"models/{name}/load", b"{}", READ_LIMIT)
        if status != 200:
            raise ServerRefusedError(_reason(body) or f"the load was answered with {status}")

    async def unload(self, name: str) -> None:
        """Unload a model; one that the server does not know is unloaded already."""
        status, body = await self._post(f"models/{name}/unload", b"{}", READ_LIMIT)
        if status not in {200, 404}:
            raise ServerRefusedError(_reason(body) or f"the unload was answered with {status}")

    async def close(self) -> None:
        """Close what is open."""
        if self._session:
            await self._session.close()

    async def _post(self, path: str, body: bytes, limit: int) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        try:
            async with self._opened().post(f"{self._url}/v2/repository/{path}", data=body, headers=headers) as answer:
                return answer.status, await _read(answer, limit)
        except (aiohttp.ClientError, OSError) as error:
            raise ServerGoneError(
                f"the model server does not answer: {one_line(error) or type(error).__name__}"
            ) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self._session


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body, up to the limit."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def read_index(body: bytes) -> dict[str, ServerModel]:
    """Return the models of an index. Raises `ServerGoneError` when it is not one."""
    try:
        rows: list[Any] = json.loads(body)
        models: dict[str, ServerModel] = {}
        for row in rows:
            name, found = str(row["name"]), _server_model(row)
            models[name] = min(models[name], found, key=_rank) if name in models else found
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ServerGoneError(f"the server's index cannot be read: {one_line(error)}") from error
    return models


def _server_model(row: Mapping[str, Any]) -> ServerModel:
    state, reason = row.get("state"), row.get("reason")
    known = _STATES.get(state or "", ServerState.UNAVAILABLE)
    return ServerModel(known, one_line(reason)) if reason else _WITHOUT_REASON[known]


def _rank(model: ServerModel) -> int:
    return _PRECEDENCE.index(model.state) if model.state in _PRECEDENCE else len(_PRECEDENCE)


def _reason(body: bytes) -> str:
    """Return the sentence of an error answer: the `error` of a JSON object, else the text."""
    text = body.decode(errors="replace")
    try:
        return one_line(json.loads(text)["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return one_line(text)
