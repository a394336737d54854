"""The members of a tar, plain or gzipped.

Only the headers are read by the standard library. Its extraction, with or without a filter, accepts links and any
number and size of members. It also takes any invalid header for the end of the archive.
So the end is checked: a tar ends with zeros, and nothing follows them.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Generator, Iterator
from functools import partial
from typing import IO

from manyserve.agent.download.archive.limited_reader import LimitedReader
from manyserve.agent.download.archive.unpack import CHUNK_BYTES, ArchiveError, Member, archive_errors, quoted

HEADER_BYTES = 32 * 1024
"""The largest size of the headers of one member: its name and attributes."""
_MAX_PADDING_BYTES = 1024 * 1024


def tar_members(file: IO[bytes], *, is_zipped: bool) -> Generator[Member]:
    """Yield the members in their order. Raises `ArchiveError`."""
    source: IO[bytes] = gzip.GzipFile(fileobj=file) if is_zipped else file  # type: ignore[assignment]
    reader = LimitedReader(source, HEADER_BYTES)
    with archive_errors("it is no whole tar"), tarfile.open(fileobj=reader, mode="r:", errors="surrogateescape") as tar:
        while info := _next(tar, reader):
            _check(info)
            yield Member(info.name, info.size, info.isdir(), partial(_chunks, tar, info, reader))
        _check_end(reader)


def _next(tar: tarfile.TarFile, reader: LimitedReader) -> tarfile.TarInfo | None:
    reader.left = HEADER_BYTES
    info = tar.next()
    tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
    return info


def _check(info: tarfile.TarInfo) -> None:
    checks = (
        (info.issym() or info.islnk(), "is a link"),
        (info.isdev(), "is a device or a pipe"),
        (info.issparse(), "is a sparse file"),
        (not (info.isreg() or info.isdir()), "is neither a file nor a folder"),
        (info.size < 0 or (info.isdir() and info.size > 0), "has an impossible size"),
    )
    for is_refused, problem in checks:
        if is_refused:
            raise ArchiveError(f"{quoted(info.name)} {problem}; only files and folders are unpacked")


def _chunks(tar: tarfile.TarFile, info: tarfile.TarInfo, reader: LimitedReader) -> Iterator[bytes]:
    reader.left = info.size
    with archive_errors(f"{quoted(info.name)} is cut short"):
        content = tar.extractfile(info)
        while content and (chunk := content.read(CHUNK_BYTES)):
            yield chunk


def _check_end(reader: LimitedReader) -> None:
    end_block = reader.last
    reader.left = _MAX_PADDING_BYTES + 1
    rest = reader.read(reader.left)
    if end_block != bytes(tarfile.BLOCKSIZE):
        raise ArchiveError("it is cut short: it has no end")
    if any(rest) or len(rest) > _MAX_PADDING_BYTES:
        raise ArchiveError("there is something behind its end")
