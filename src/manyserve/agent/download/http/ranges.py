"""Writing a file in pieces: which pieces there are, and putting one in its place while others are on their way.

Each piece opens the file for itself, so that no more files are open than pieces are read.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from manyserve.agent.concurrency import in_thread
from manyserve.agent.download.base import Progress, RemoteFile

if TYPE_CHECKING:
    from obstore import BytesStream


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a file, from `start` up to before `end`."""

    file: RemoteFile
    start: int
    end: int

    @property
    def is_all(self) -> bool:
        """It is the whole file."""
        return (self.start, self.end) == (0, self.file.size)


def pieces(file: RemoteFile, step: int) -> Iterator[Piece]:
    """Yield the pieces of a file, of at most `step` bytes; an empty file is one piece."""
    for start in range(0, max(file.size, 1), step):
        yield Piece(file, start, min(start + step, file.size))


class Output:
    """A place in an open file that moves on with what is written, and, if asked, the MD5 of that."""

    def __init__(self, descriptor: int, start: int, *, hashed: bool) -> None:
        self._descriptor = descriptor
        self._at = start
        self._hash = hashlib.md5(usedforsecurity=False) if hashed else None

    @property
    def md5(self) -> str:
        """The MD5 of all that was written, in hex digits."""
        return self._hash.hexdigest() if self._hash else ""

    def write(self, chunk: bytes) -> None:
        """Write all of it; it blocks."""
        rest = memoryview(chunk)
        while rest:
            written = os.pwrite(self._descriptor, rest, self._at)
            self._at += written
            rest = rest[written:]
        if self._hash:
            self._hash.update(chunk)


@contextmanager
def opened(path: Path, piece: Piece, *, hashed: bool) -> Iterator[Output]:
    """Open the place of a piece. Not in a thread: a download that is dropped meanwhile would leave it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if piece.is_all else 0), 0o666)
    try:
        yield Output(descriptor, piece.start, hashed=hashed)
    finally:
        os.close(descriptor)


async def pour(chunks: AsyncIterator[bytes], output: Output, most: int, progress: Progress) -> int:
    """Write the chunks and return the bytes that came; stop as soon as they are more than was said."""
    came = 0
    async for chunk in chunks:
        came += len(chunk)
        if came > most:
            break
        progress.arrived(len(chunk))
        progress.stored(len(chunk))
        await in_thread(output.write, chunk)
    return came


async def paced(chunks: BytesStream, stall: float) -> AsyncIterator[bytes]:
    """Yield the chunks. Raises `TimeoutError` when one takes longer: a source that drips is one that hangs."""
    source = aiter(chunks)
    while True:
        try:
            async with asyncio.timeout(stall):
                chunk = await anext(source)
        except StopAsyncIteration:
            return
        yield chunk
