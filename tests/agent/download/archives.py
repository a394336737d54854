"""Builders of archives, also of invalid ones that no library writes."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from manyserve.agent.download.archive.downloader import ArchiveKind, ArchiveLimits, unpack_archive

LOOSE = ArchiveLimits(files=1000, bytes=100 * 1024**2, ratio=100)
URI = "https://host/model"
_LONGEST_COMMENT = 0xFFFF
_DIRECTORY_ENTRY = 46 + 8
"""Bytes of a directory's entry, with a name of eight letters and without its comment."""


def entry(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, **fields: object) -> bytes:
    """Return one member of a tar, with any header fields."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    for field, value in fields.items():
        setattr(info, field, value)
    padding = -len(content) % 512
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + content + bytes(padding)


def tar(*entries: bytes) -> bytes:
    return b"".join(entries) + bytes(1024)


def tar_of(files: Iterable[tuple[str, bytes]]) -> bytes:
    return tar(*(entry(name, content) for name, content in files))


def tar_gz(*entries: bytes) -> bytes:
    return gzip.compress(tar(*entries))


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as packed:
        for name, content in entries:
            packed.writestr(_undated(name), content, compress_type=compression)
    return file.getvalue()


def _undated(name: str | zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return an entry without the present time, so that the same content is the same archive."""
    if isinstance(name, zipfile.ZipInfo):
        return name
    info = zipfile.ZipInfo(name)
    info.external_attr = (0o40775 << 16 | 0x10) if name.endswith("/") else 0o600 << 16
    return info


def tar_of_global_headers(count: int, size: int = 500) -> bytes:
    """Return a tar with so many global headers between its members, each with a key of its own."""
    return tar(*(part for number in range(count) for part in (_global_header(number, size), entry(f"f{number}"))))


def _global_header(number: int, size: int) -> bytes:
    record = f" k{number}={'v' * size}\n"
    length = len(record) + len(str(size))
    return entry("g", f"{length}{record}".encode(), tarfile.XGLTYPE)


def zip_of_directory(size: int) -> bytes:
    """Return a zip with a directory of about so many bytes, which are comments of its members."""
    members = []
    for number in range(-(-size // _LONGEST_COMMENT)):
        info = zipfile.ZipInfo(f"{number:08}")
        info.comment = b"c" * (min(_LONGEST_COMMENT, size - number * _LONGEST_COMMENT) - _DIRECTORY_ENTRY)
        members.append((info, b""))
    return zipped(*members)


def unpack_all(folder: Path, data: bytes, kind: ArchiveKind, limits: ArchiveLimits = LOOSE) -> dict[str, bytes]:
    """Unpack an archive as the downloader does, and return the written files."""
    folder.mkdir(exist_ok=True)
    path = folder / "model"
    path.write_bytes(data)
    written = sum(unpack_archive(path, kind, limits, URI))
    files = contents(folder)
    assert written == sum(map(len, files.values()))
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def folders(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir()}


def open_files(folder: Path) -> int:
    """Return the number of files below a folder that this process has open."""
    links = (os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir())
    return sum(link.startswith(str(folder)) for link in links)
