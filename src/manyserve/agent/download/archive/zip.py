"""The members of a zip.

A zip says everything twice, in front of each member and in the directory at its end, and programs differ in
what they believe. So only a zip is read of which both agree: the members lie one after the other from the
first byte to the directory, the directory counts them right, and nothing is behind it.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from manyserve.agent.download.archive.unpack import CHUNK, ArchiveError, Member, broken, shown
from manyserve.agent.download.limited_reader import LimitedReader

DIRECTORY_BYTES = 16 * 1024 * 1024
_LOCAL_HEADER, _END = 30, 22
_ENCRYPTED, _UTF8 = 0x1, 0x800


def zip_members(file: IO[bytes], size: int) -> Generator[Member]:
    """Yield the members of a zip of so many bytes, in their order. Raises `ArchiveError`."""
    reader = LimitedReader(file, DIRECTORY_BYTES)
    with broken("it is no whole zip"), ZipFile(reader) as packed:
        infos = sorted(packed.infolist(), key=lambda info: info.header_offset)
        _check_layout(infos, packed.start_dir)
        _check_end(file, size, len(packed.comment), len(infos))
        reader.left = sys.maxsize  # the content is bounded by what it unpacks to
        for info in infos:
            name = _name(info)
            _check(info, name)
            yield Member(name, info.file_size, info.is_dir(), partial(_chunks, packed, info))


def _check_layout(infos: Sequence[ZipInfo], directory: int) -> None:
    """Require members that lie one after the other, without sharing a byte."""
    starts = [*(info.header_offset for info in infos), directory]
    fits = all(
        start + _LOCAL_HEADER + len(info.orig_filename) + info.compress_size <= after
        for info, (start, after) in zip(infos, pairwise(starts), strict=True)
    )
    if starts[0] != 0 or not fits:
        raise ArchiveError("its directory disagrees with its members")


def _check_end(file: IO[bytes], size: int, comment: int, members: int) -> None:
    """Require an end where it belongs that counts the members right; zip64 counts elsewhere when they are many."""
    file.seek(max(size - _END - comment, 0))
    end = file.read(_END)
    if not end.startswith(b"PK\5\6"):
        raise ArchiveError("there is something behind its end")
    if int.from_bytes(end[10:12], "little") not in {members, 0xFFFF}:
        raise ArchiveError("its directory disagrees with its members")


def _name(info: ZipInfo) -> str:
    """Return a name by its bytes: zipfile takes those without the mark of UTF-8 for the letters of old DOS."""
    if info.flag_bits & _UTF8:
        return info.orig_filename
    return info.orig_filename.encode("cp437").decode(errors="surrogateescape")


def _check(info: ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    kinds = (
        (bool(info.flag_bits & _ENCRYPTED), "is encrypted"),
        (kind == stat.S_IFLNK, "is a link; only files and folders are unpacked"),
        (kind not in {0, stat.S_IFREG, stat.S_IFDIR}, "is neither a file nor a folder"),
        (info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}, "is packed in a way that is not supported"),
        (info.is_dir() and info.file_size > 0, "has a size that cannot be"),
    )
    for holds, says in kinds:
        if holds:
            raise ArchiveError(f"{shown(name)} {says}")


def _chunks(packed: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    with broken(f"{shown(info.orig_filename)} is not whole"), packed.open(info) as content:
        while chunk := content.read(CHUNK):
            yield chunk
