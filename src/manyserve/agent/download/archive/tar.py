"""The members of a tar, plain or gzipped.

The standard library reads the headers and nothing more: its extraction, with or without a filter, lets links,
any number of members and any size through. It also takes the first thing that is no header for the end, so
the end is looked at here: a tar ends with zeros, and nothing is behind them.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Generator, Iterator
from functools import partial
from typing import IO

from manyserve.agent.download.archive.unpack import CHUNK, ArchiveError, Member, broken, shown
from manyserve.agent.download.limited_reader import LimitedReader

HEADER_BYTES = 32 * 1024
"""What the headers of one member may take: names and attributes, not files."""
_PADDING = 1024 * 1024


def tar_members(file: IO[bytes], *, zipped: bool) -> Generator[Member]:
    """Yield the members in their order. Raises `ArchiveError`."""
    source: IO[bytes] = gzip.GzipFile(fileobj=file) if zipped else file  # type: ignore[assignment]
    reader = LimitedReader(source, HEADER_BYTES)
    with broken("it is no whole tar"), tarfile.open(fileobj=reader, mode="r:", errors="surrogateescape") as tar:
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
    kinds = (
        (info.issym() or info.islnk(), "is a link"),
        (info.isdev(), "is a device or a pipe"),
        (info.issparse(), "is a sparse file"),
        (not (info.isreg() or info.isdir()), "is neither a file nor a folder"),
        (info.size < 0 or (info.isdir() and info.size > 0), "has a size that cannot be"),
    )
    for holds, says in kinds:
        if holds:
            raise ArchiveError(f"{shown(info.name)} {says}; only files and folders are unpacked")


def _chunks(tar: tarfile.TarFile, info: tarfile.TarInfo, reader: LimitedReader) -> Iterator[bytes]:
    reader.left = info.size
    with broken(f"{shown(info.name)} is cut short"):
        content = tar.extractfile(info)
        while content and (chunk := content.read(CHUNK)):
            yield chunk


def _check_end(reader: LimitedReader) -> None:
    end = reader.last
    reader.left = _PADDING + 1
    rest = reader.read(reader.left)
    if end != bytes(tarfile.BLOCKSIZE):
        raise ArchiveError("it is cut short: it has no end")
    if any(rest) or len(rest) > _PADDING:
        raise ArchiveError("there is something behind its end")
