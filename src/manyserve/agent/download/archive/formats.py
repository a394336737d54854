"""Members of a tar, plain or gzipped, and of a zip. No header of an archive is trusted.

tarfile and zipfile read names, extended headers and directories into memory, as long as the archive claims they are.
`LimitedReader` stands between them and the archive.

Of a tar, only the headers are read by the standard library. Its extraction, with or without a filter, accepts links
and any number and size of members. It also takes any invalid header for the end of the archive. So the end is checked:
a tar ends with zeros, and nothing follows them.

A zip describes its members twice: in a header before each, and in the directory at its end. Programs differ in the
copy that they read. So only a zip with matching copies is read. Its members follow each other from the first byte to
the directory, the directory has their number, and nothing follows it.
"""

from __future__ import annotations

import gzip
import io
import stat
import sys
import tarfile
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from manyserve.agent.download.archive.unpack import CHUNK_BYTES, ArchiveError, Member, archive_errors, quoted

HEADER_BYTES = 32 * 1024
"""The largest size of the headers of one member: its name and attributes."""
_MAX_PADDING_BYTES = 1024 * 1024
DIRECTORY_BYTES = 1024 * 1024
"""The largest size of the directory of a zip. Python's objects of 22,000 members, the most, take 15 MB."""
_MAX_GLOBAL_HEADERS = 100  # of a tar, each at most as long as the headers of one member
_LOCAL_HEADER_BYTES, _END_BYTES = 30, 22
_ENCRYPTED, _UTF8 = 0x1, 0x800


class LimitedReader(io.RawIOBase):
    """A reader of at most `left` bytes of a file. A seek gives none of them back."""

    def __init__(self, source: IO[bytes], left: int) -> None:
        super().__init__()
        self._source = source
        self.left = left
        self.last = b""
        """The result of the last read."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes. Raises `ArchiveError` when they exceed the limit."""
        requested = self.left + 1 if size is None or size < 0 else size
        if size is not None and size > self.left:
            raise ArchiveError("its headers are too long")
        self.last = self._source.read(requested)
        self.left -= len(self.last)
        if self.left < 0:
            raise ArchiveError("its headers are too long")
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position and return it. `IOBase.tell` calls this, too."""
        return self._source.seek(offset, whence)


def tar_members(file: IO[bytes], *, is_zipped: bool) -> Generator[Member]:
    """Yield the members in their order. Raises `ArchiveError`."""
    source: IO[bytes] = gzip.GzipFile(fileobj=file) if is_zipped else file  # type: ignore[assignment]
    reader = LimitedReader(source, HEADER_BYTES)
    with archive_errors("it is no whole tar"), tarfile.open(fileobj=reader, mode="r:", errors="surrogateescape") as tar:
        while info := _next_tar_member(tar, reader):
            _check_tar_member(info)
            yield Member(info.name, info.size, info.isdir(), partial(_tar_chunks, tar, info, reader))
        _check_tar_end(reader)


def _next_tar_member(tar: tarfile.TarFile, reader: LimitedReader) -> tarfile.TarInfo | None:
    reader.left = HEADER_BYTES
    info = tar.next()
    tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
    if len(tar.pax_headers) > _MAX_GLOBAL_HEADERS:
        raise ArchiveError("its headers are too long")
    return info


def _check_tar_member(info: tarfile.TarInfo) -> None:
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


def _tar_chunks(tar: tarfile.TarFile, info: tarfile.TarInfo, reader: LimitedReader) -> Iterator[bytes]:
    reader.left = info.size
    with archive_errors(f"{quoted(info.name)} is cut short"):
        content = tar.extractfile(info)
        while content and (chunk := content.read(CHUNK_BYTES)):
            yield chunk


def _check_tar_end(reader: LimitedReader) -> None:
    end_block = reader.last
    reader.left = _MAX_PADDING_BYTES + 1
    rest = reader.read(reader.left)
    if end_block != bytes(tarfile.BLOCKSIZE):
        raise ArchiveError("it is cut short: it has no end")
    if any(rest) or len(rest) > _MAX_PADDING_BYTES:
        raise ArchiveError("there is something behind its end")


def zip_members(file: IO[bytes], size: int) -> Generator[Member]:
    """Yield the members of a zip of `size` bytes, in their order. Raises `ArchiveError`."""
    reader = LimitedReader(file, DIRECTORY_BYTES)
    with archive_errors("it is no whole zip"), ZipFile(reader) as packed:
        infos = sorted(packed.infolist(), key=lambda info: info.header_offset)
        _check_zip_layout(infos, packed.start_dir)
        _check_zip_end(file, size, len(packed.comment), len(infos))
        reader.left = sys.maxsize  # the limits of the unpacked size bound the content
        for info in infos:
            name = _zip_name(info)
            _check_zip_member(info, name)
            yield Member(name, info.file_size, info.is_dir(), partial(_zip_chunks, packed, info))


def _check_zip_layout(infos: Sequence[ZipInfo], directory: int) -> None:
    """Require members in sequence, without a shared byte. Raises `ArchiveError`."""
    starts = [*(info.header_offset for info in infos), directory]
    is_sequence = all(
        start + _LOCAL_HEADER_BYTES + len(info.orig_filename) + info.compress_size <= after
        for info, (start, after) in zip(infos, pairwise(starts), strict=True)
    )
    if starts[0] != 0 or not is_sequence:
        raise ArchiveError("its directory disagrees with its members")


def _check_zip_end(file: IO[bytes], size: int, comment: int, members: int) -> None:
    """Require the end record at its place, with the number of members. A large zip64 has the number elsewhere."""
    file.seek(max(size - _END_BYTES - comment, 0))
    end = file.read(_END_BYTES)
    if not end.startswith(b"PK\5\6"):
        raise ArchiveError("there is something behind its end")
    if int.from_bytes(end[10:12], "little") not in {members, 0xFFFF}:
        raise ArchiveError("its directory disagrees with its members")


def _zip_name(info: ZipInfo) -> str:
    """Decode a name from its bytes. zipfile decodes a name without the UTF-8 flag as cp437."""
    if info.flag_bits & _UTF8:
        return info.orig_filename
    return info.orig_filename.encode("cp437").decode(errors="surrogateescape")


def _check_zip_member(info: ZipInfo, name: str) -> None:
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


def _zip_chunks(packed: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    with archive_errors(f"{quoted(info.orig_filename)} is not whole"), packed.open(info) as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk
