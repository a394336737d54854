"""Copying what a URL gives into a file: in one piece, or in ranges, several at once, when it is large.

Ranges are asked for on the condition (`If-Range`) that the file is still the one that was listed. A server
that does not do ranges answers the first with the whole file, and that is then what is read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aiohttp import ClientResponse, StreamReader
from yarl import URL

from manyserve.agent.download.base import DownloadError, Progress, RemoteFile
from manyserve.agent.download.http.client import Visit
from manyserve.agent.download.http.errors import status_error
from manyserve.agent.download.http.ranges import Piece, opened, pieces, pour

CHUNK = 256 * 1024
CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>[0-9]+)-(?P<last>[0-9]+)|\*)/(?P<total>[0-9]{1,18})")


@dataclass(frozen=True)
class Source:
    """A file of the web, of the listed size; 0 when nobody told."""

    url: URL
    file: RemoteFile
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers from a secret."""
    ranges: bool = False
    """Parts of it may be asked for."""
    tag: str = ""
    """A strong ETag: the condition for parts."""


@dataclass(frozen=True)
class Head:
    """What the answer to the first request told besides the content."""

    headers: Mapping[str, str]
    part: bool
    """The body was a part of the file."""


@dataclass(frozen=True)
class Copier:
    """How files are copied, over all models."""

    streams: asyncio.Semaphore
    """Bounds the bodies read at once."""
    workers: int
    """How many bodies of one model are read at once."""
    range_bytes: int
    most: int
    """Bytes that a file may have whose size nobody told."""

    async def copy(self, visit: Visit, source: Source, target: Path, progress: Progress) -> Head:
        """Write the file, of its size. Raises `DownloadError`, `aiohttp.ClientError`, `TimeoutError`, `OSError`."""
        step = self.range_bytes if source.ranges else max(source.file.size, 1)
        rest = pieces(source.file, step)
        first = next(rest)
        head = await self._piece(visit, source, first, target, progress)
        if head.part:
            await in_turns(
                self.workers, (partial(self._piece, visit, source, piece, target, progress) for piece in rest)
            )
        return head

    async def _piece(self, visit: Visit, source: Source, piece: Piece, target: Path, progress: Progress) -> Head:
        headers = {} if piece.is_all else {"Range": f"bytes={piece.start}-{piece.end - 1}"}
        headers |= {"If-Range": source.tag} if headers and source.tag else {}
        async with self.streams, visit.ask("GET", source.url, headers, source.private) as answer:
            part = _is_part(visit.uri, answer, piece)
            size = piece.end - piece.start if part else piece.file.size
            with opened(target, piece, hashed=False) as output:
                came = await pour(filled(answer.content, visit.web.stall), output, size or self.most, progress)
        self._check(visit.uri, size, came)
        return Head(answer.headers, part)

    def _check(self, uri: str, size: int, came: int) -> None:
        if size and came != size:
            more = f"more than its {size} bytes" if came > size else f"{came} bytes of {size}"
            raise DownloadError(f"{uri} is not what the server said it is: {more} came", reason="short")
        if came > self.most:
            sentence = f"{uri} has more bytes than the limit of {self.most}"
            raise DownloadError(sentence, reason="too_large", permanent=True)


def _is_part(uri: str, answer: ClientResponse, piece: Piece) -> bool:
    """Tell whether the answer is the piece, rather than the whole file. Raises `DownloadError` when it is neither."""
    if answer.status == 200 and piece.start == 0:
        return False
    if answer.status not in {200, 206}:
        raise status_error(uri, answer.status)
    found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    wanted = (str(piece.start), str(piece.end - 1), str(piece.file.size))
    if answer.status == 200 or not found or found.group("first", "last", "total") != wanted:
        raise DownloadError(f"{uri} changed while it was downloaded", reason="changed")
    return True


async def in_turns(workers: int, todo: Iterator[Callable[[], Awaitable[object]]]) -> None:
    """Do all that is to be done, by a few workers; the first failure, in an `ExceptionGroup`, ends them all.

    A task for each would stand before the downloads of others, with all of them, at the streams that all share.
    """

    async def work() -> None:
        for do in todo:
            await do()

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


async def filled(body: StreamReader, stall: float) -> AsyncIterator[bytes]:
    """Yield the body in chunks. Raises `TimeoutError` when one takes longer: a source that drips is one that hangs."""
    while True:
        async with asyncio.timeout(stall):
            try:
                chunk = await body.readexactly(CHUNK)
            except asyncio.IncompleteReadError as error:
                chunk = error.partial
        if chunk:
            yield chunk
        if len(chunk) < CHUNK:
            return
