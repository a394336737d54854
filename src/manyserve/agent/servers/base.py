"""Interface of the model server clients, for all dialects, and their HTTP connection.

Answers of a server are checked: a load may never return, a 200 may stand for a failed load, and an error may be
megabytes of traceback. Every call opens its own connection, because a load blocks the server's thread, and other
requests on a kept-alive connection would wait for that thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp

from manyserve.agent.reconcile import ServerModel
from manyserve.redaction import READ_LIMIT, one_line

_CONNECT_SECONDS = 5.0


class ServerUnavailableError(Exception):
    """The server does not answer, or its answer is invalid."""


class LoadRejectedError(Exception):
    """The server rejected a load or unload."""


class RefusedFilesError(Exception):
    """The files of a model are refused. The text is one sentence with the rule."""


class ModelServer(Protocol):
    """Client of a model server."""

    indexes_folders: bool
    """The index lists a model, loaded or not, only while its folder exists."""

    async def index(self) -> Mapping[str, ServerModel]:
        """Return the state of every model; the same object while nothing changed. Raises `ServerUnavailableError`."""

    async def load(self, name: str) -> None:
        """Load a model, or load it again. Raises `ServerUnavailableError`, `LoadRejectedError`. May never return."""

    async def unload(self, name: str) -> None:
        """Unload a model, loaded or not. Raises `ServerUnavailableError`, `LoadRejectedError`."""

    def steps(self, folder: Path) -> tuple[str, ...]:
        """Return the other models that the server loads with the model of this folder. Blocks on the disk.

        Raises `LoadRejectedError` when they are too many.
        """

    def prepare(self, name: str, folder: Path) -> None:
        """Add the files that the server needs to a downloaded folder. Blocks on the disk.

        Raises `RefusedFilesError`, `OSError`.
        """

    def content_error(self, name: str, framework: str, folder: Path) -> str:
        """Return the sentence about content that is refused in a new model; empty for none. Blocks on the disk.

        Raises `RefusedFilesError`, `OSError`.
        """

    def explain(self, folder: Path, reason: str) -> str:
        """Return the reason of a rejected load, with the cause that the model's folder shows. Blocks on the disk."""

    async def close(self) -> None:
        """Close the connection."""


@dataclass(frozen=True)
class Response:
    """A response of the server, its body cut at the limit."""

    status: int
    body: bytes
    phrase: str = ""
    """Reason phrase of the status line, in which some servers put their error."""

    @property
    def reason(self) -> str:
        """Error message on one line: the `error` of a JSON object, else the text."""
        text = self.body.decode(errors="replace")
        try:
            return one_line(json.loads(text)["error"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return one_line(self.phrase if text.lstrip().startswith("<") else text)


class Connection:
    """HTTP connection to one server."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, path: str, *, body: bytes | None = None, limit: int = READ_LIMIT) -> Response:
        """Send a request, without a time limit. Raises `ServerUnavailableError` without an answer."""
        try:
            async with self._open_session().request(
                method, f"{self._url}{path}", data=body, headers=self._headers, allow_redirects=False
            ) as answer:
                return Response(answer.status, await _read(answer, limit), answer.reason or "")
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnavailableError(
                f"the model server does not answer: {one_line(error) or type(error).__name__}"
            ) from error

    async def close(self) -> None:
        """Close the connection."""
        if self._session:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
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
