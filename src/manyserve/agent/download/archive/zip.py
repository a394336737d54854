"""The members of a zip.

A zip describes its members twice: in a header before each, and in the directory at its end. Programs differ in the
copy that they read. So only a zip with matching copies is read. Its members follow each other from the first byte to
the directory, the directory has their number, and nothing follows it.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from manyserve.agent.download.archive.limited_reader import LimitedReader
from manyserve.agent.download.archive.unpack import CHUNK_BYTES, ArchiveError, Member, archive_errors, quoted

DIRECTORY_BYTES = 16 * 1024 * 1024
_LOCAL_HEADER_BYTES, _END_BYTES = 30, 22
_ENCRYPTED, _UTF8 = 0x1, 0x800


def zip_members(file: IO[bytes], size: int) -> Generator[Member]:
    """Yield the members of a zip of `size` bytes, in their order. Raises `ArchiveError`."""
    reader = LimitedReader(file, DIRECTORY_BYTES)
    with archive_errors("it is no whole zip"), ZipFile(reader) as packed:
        infos = sorted(packed.infolist(), key=lambda info: info.header_offset)
        _check_layout(infos, packed.start_dir)
        _check_end(file, size, len(packed.comment), len(infos))
        reader.left = sys.maxsize  # the limits of the unpacked size bound the content
        for info in infos:
            name = _name(info)
            _check(info, name)
            yield Member(name, info.file_size, info.is_dir(), partial(_chunks, packed, info))


def _check_layout(infos: Sequence[ZipInfo], directory: int) -> None:
    """Require members in sequence, without a shared byte. Raises `ArchiveError`."""
    starts = [*(info.header_offset for info in infos), directory]
    is_sequence = all(
        start + _LOCAL_HEADER_BYTES + len(info.orig_filename) + info.compress_size <= after
        for info, (start, after) in zip(infos, pairwise(starts), strict=True)
    )
    if starts[0] != 0 or not is_sequence:
        raise ArchiveError("its directory disagrees with its members")


def _check_end(file: IO[bytes], size: int, comment: int, members: int) -> None:
    """Require the end record at its place, with the number of members. A large zip64 has the number elsewhere."""
    file.seek(max(size - _END_BYTES - comment, 0))
    end = file.read(_END_BYTES)
    if not end.startswith(b"PK\5\6"):
        raise ArchiveError("there is something behind its end")
    if int.from_bytes(end[10:12], "little") not in {members, 0xFFFF}:
        raise ArchiveError("its directory disagrees with its members")


def _name(info: ZipInfo) -> str:
    """Decode a name from its bytes. zipfile decodes a name without the UTF-8 flag as cp437."""
    if info.flag_bits & _UTF8:
        return info.orig_filename
    return info.orig_filename.encode("cp437").decode(errors="surrogateescape")


def _check(info: ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    checks = (
        (bool(info.flag_bits & _ENCRYPTED), "is encrypted"),
        (kind == stat.S_IFLNK, "is a link; only files and folders are unpacked"),
        (kind not in {0, stat.S_IFREG, stat.S_IFDIR}, "is neither a file nor a folder"),
        (info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}, "is packed in a way that is not supported"),
        (info.is_dir() and info.file_size > 0, "has an impossible size"),
    )
    for is_refused, problem in checks:
        if is_refused:
            raise ArchiveError(f"{quoted(name)} {problem}")


def _chunks(packed: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    with archive_errors(f"{quoted(info.orig_filename)} is not whole"), packed.open(info) as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk
