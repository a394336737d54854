"""Copies of remote files, in one piece or, when they are large, in ranges that several workers read at once.

Ranges are requested on the condition (`If-Range`) that the file still has the listed version. A server without
ranges answers the first request with the whole file, and this response is then used.
Each piece opens the file for itself, so no more files are open than pieces are read.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aiohttp import ClientResponse
from yarl import URL

from manyserve.agent.concurrency import in_thread
from manyserve.agent.download.base import DownloadError, Progress, RemoteFile
from manyserve.agent.download.errors import status_error
from manyserve.agent.download.http.client import HttpSession, read_chunks

CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>[0-9]+)-(?P<last>[0-9]+)|\*)/(?P<total>[0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes of a file from `start` up to, not including, `end`."""

    file: RemoteFile
    start: int
    end: int

    @property
    def is_whole(self) -> bool:
        """The piece is the whole file."""
        return (self.start, self.end) == (0, self.file.size)


def split(file: RemoteFile, size: int) -> Iterator[Piece]:
    """Yield the pieces of a file, of at most `size` bytes. An empty file is one piece."""
    for start in range(0, max(file.size, 1), size):
        yield Piece(file, start, min(start + size, file.size))


class PieceWriter:
    """A writer with its own offset in an open file, and optionally an MD5 of the written bytes."""

    def __init__(self, descriptor: int, offset: int, *, hashed: bool) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._hash = hashlib.md5(usedforsecurity=False) if hashed else None

    @property
    def md5(self) -> str:
        """The MD5 of all written bytes, in hex digits; empty without one."""
        return self._hash.hexdigest() if self._hash else ""

    def write(self, chunk: bytes) -> None:
        """Write the whole chunk. It blocks."""
        rest = memoryview(chunk)
        while rest:
            written = os.pwrite(self._descriptor, rest, self._offset)
            self._offset += written
            rest = rest[written:]
        if self._hash:
            self._hash.update(chunk)


@contextmanager
def open_piece(path: Path, piece: Piece, *, hashed: bool) -> Iterator[PieceWriter]:
    """Open a file at the offset of a piece. Not in a thread: a cancelled download would leave the file open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if piece.is_whole else 0), 0o666)
    try:
        yield PieceWriter(descriptor, piece.start, hashed=hashed)
    finally:
        os.close(descriptor)


async def write_chunks(chunks: AsyncIterator[bytes], writer: PieceWriter, limit: int, progress: Progress) -> int:
    """Write the chunks and return the number of bytes that came. Stop when it exceeds the limit."""
    count = 0
    async for chunk in chunks:
        count += len(chunk)
        if count > limit:
            break
        progress.arrived(len(chunk))
        progress.stored(len(chunk))
        await in_thread(writer.write, chunk)
    return count


@dataclass(frozen=True)
class Source:
    """A file on a web server, with the listed size; 0 when the server does not announce it."""

    url: URL
    file: RemoteFile
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    has_ranges: bool = False
    """Parts of the file may be requested."""
    etag: str = ""
    """A strong ETag: the condition for parts."""


@dataclass(frozen=True)
class ResponseHead:
    """The head of the first response."""

    headers: Mapping[str, str]
    is_partial: bool
    """The body was a part of the file."""


@dataclass(frozen=True)
class Copier:
    """A copier of files, shared by all models."""

    workers: int
    """The number of bodies of one model read at once."""
    range_bytes: int
    max_bytes: int
    """The largest size of a file with an unknown size."""

    async def copy(self, session: HttpSession, source: Source, target: Path, progress: Progress) -> ResponseHead:
        """Write the file. Raises `DownloadError`, `aiohttp.ClientError`, `TimeoutError`, `OSError`."""
        size = self.range_bytes if source.has_ranges else max(source.file.size, 1)
        rest = split(source.file, size)
        head = await self._copy_piece(session, source, next(rest), target, progress)
        if head.is_partial:
            copies = (partial(self._copy_piece, session, source, piece, target, progress) for piece in rest)
            await run_workers(self.workers, copies)
        return head

    async def _copy_piece(
        self, session: HttpSession, source: Source, piece: Piece, target: Path, progress: Progress
    ) -> ResponseHead:
        headers = {} if piece.is_whole else {"Range": f"bytes={piece.start}-{piece.end - 1}"}
        headers |= {"If-Range": source.etag} if headers and source.etag else {}
        async with session.request("GET", source.url, headers, source.secret_headers) as response:
            is_partial = _is_partial(session.uri, response, piece, source.etag)
            size = piece.end - piece.start if is_partial else piece.file.size
            with open_piece(target, piece, hashed=False) as writer:
                chunks = read_chunks(response.content, session.client.stall_seconds)
                count = await write_chunks(chunks, writer, size or self.max_bytes, progress)
        self._check_size(session.uri, size, count)
        return ResponseHead(response.headers, is_partial)

    def _check_size(self, uri: str, size: int, count: int) -> None:
        if size and count != size:
            difference = f"more than its {size} bytes" if count > size else f"{count} bytes of {size}"
            raise DownloadError(f"{uri} is not what the server said it is: {difference} came", reason="short")
        if count > self.max_bytes:
            sentence = f"{uri} has more bytes than the limit of {self.max_bytes}"
            raise DownloadError(sentence, reason="too_large", permanent=True)


def _is_partial(uri: str, response: ClientResponse, piece: Piece, etag: str) -> bool:
    """Return whether the body is the piece, not the whole file. Raises `DownloadError` when it is neither."""
    if response.status == 200 and piece.start == 0:
        return False
    if response.status not in {200, 206}:
        raise status_error(uri, response.status)
    match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    expected = (str(piece.start), str(piece.end - 1), str(piece.file.size))
    is_other = bool(etag) and response.headers.get("ETag", etag) != etag  # a cache may ignore If-Range
    if response.status == 200 or is_other or not match or match.group("first", "last", "total") != expected:
        raise DownloadError(f"{uri} changed while it was downloaded", reason="changed")
    return True


async def run_workers(count: int, calls: Iterator[Callable[[], Awaitable[object]]]) -> None:
    """Run calls with a few workers. The first failure cancels all and is raised in an `ExceptionGroup`."""

    async def work() -> None:
        for call in calls:
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(work())
