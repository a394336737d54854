"""Archives, that is tar, tar.gz and zip: detection by content, and unpacking into the folder of the archive.

The archive's layout is kept, as in KServe, with one exception. When the archive has only one folder at the top, and
this folder is a model of Triton, its content is moved to the top. Triton could not serve it otherwise.
The formats of many models are archives themselves (`model.pt` is a zip). So an archive is unpacked only if its name or
its Content-Type also says so. Such a name ends in .zip, .tar, .tgz or .gz, or has no suffix of letters at all.

Of an object store or a claim, an archive is unpacked if it is the only file of the model, as in KServe.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Generator
from contextlib import closing
from enum import StrEnum
from pathlib import Path

from manyserve.agent.download.archive.formats import tar_members, zip_members
from manyserve.agent.download.archive.unpack import ArchiveError, ArchiveLimits, unpack
from manyserve.agent.download.base import DownloadError

__all__ = [
    "ArchiveKind",
    "ArchiveLimits",
    "archive_kind",
    "first_bytes",
    "only_file",
    "unpack_archive",
]

_SNIFFED_BYTES = 64 * 1024
_ARCHIVE_NAME = re.compile(r".*\.(?:zip|tar|tgz|tar\.(?:gz|bz2|xz|zst|lz4|z)|tbz2?|txz|7z|rar)", re.IGNORECASE)
"""Names of archives, also of formats that are not unpacked: a server could not read such a file either."""
_OF_MACOS = re.compile(r"__MACOSX|\.DS_Store|\._.*")
"""Entries that the archivers of macOS add beside the folder that a user packs."""
_VERSION = re.compile("[1-9][0-9]*")
_OTHER_NAME = re.compile(r".*\.(?!gz$)[a-z]\w*", re.IGNORECASE)
_TYPES = re.compile(r"application/(?:zip|x-zip-compressed|x-tar|x-gtar|x-gzip|gzip|x-compressed-tar)\b", re.IGNORECASE)


class ArchiveKind(StrEnum):
    """The formats of archives."""

    TAR = "tar"
    TAR_GZ = "tar.gz"
    ZIP = "zip"


def first_bytes(path: Path) -> bytes:
    """Return the bytes from which the kind of a file is known."""
    with path.open("rb") as file:
        return file.read(_SNIFFED_BYTES)


def only_file(folder: Path) -> Path | None:
    """Return the only file below a folder, or None when there are several."""
    only: Path | None = None
    for parent, _, names in os.walk(folder):
        if len(names) > 1 or (names and only):
            return None
        only = Path(parent) / names[0] if names else only
    return only


def archive_kind(uri: str, name: str, content_type: str, start: bytes) -> ArchiveKind | None:
    """Return the format of an archive to unpack; None for a file to keep. Raises `DownloadError`."""
    kind = _content_kind(start)
    has_archive_name = bool(_ARCHIVE_NAME.fullmatch(name))
    if has_archive_name and not kind:
        sentence = f"{uri} is called an archive, but its content is no tar, tar.gz or zip"
        raise DownloadError(sentence, reason="bad_archive", permanent=True)
    is_declared = has_archive_name or not _OTHER_NAME.fullmatch(name) or bool(_TYPES.match(content_type))
    return kind if is_declared else None


def _content_kind(start: bytes) -> ArchiveKind | None:
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return ArchiveKind.ZIP
    if start.startswith(b"\x1f\x8b"):
        try:
            inner = zlib.decompressobj(31).decompress(start, tarfile.BLOCKSIZE)
        except zlib.error:
            return None
        return ArchiveKind.TAR_GZ if _is_tar(inner) else None
    return ArchiveKind.TAR if _is_tar(start) else None


def _is_tar(start: bytes) -> bool:
    """Return whether the bytes start with a tar header with a valid checksum."""
    try:
        tarfile.TarInfo.frombuf(start[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def unpack_archive(
    path: Path, kind: ArchiveKind, limits: ArchiveLimits, uri: str, folder: Path | None = None
) -> Generator[int]:
    """Replace an archive by its content, and yield the bytes written in each step. Raises `DownloadError`.

    The content replaces all of `folder`, which has no other file than the archive. By default it is the archive's own.
    """
    folder = folder or path.parent
    with path.open("rb") as file:
        size = path.stat().st_size
        _empty(folder)  # a member may have the name of the archive, or of its folder
        is_zipped = kind is ArchiveKind.TAR_GZ
        members = zip_members(file, size) if kind is ArchiveKind.ZIP else tar_members(file, is_zipped=is_zipped)
        try:
            with closing(members):
                yield from unpack(members, folder, limits.for_size(size))
        except ArchiveError as error:
            raise DownloadError(f"{uri} was not unpacked: {error}", reason="bad_archive", permanent=True) from error
    _lift_single_folder(folder)


def _is_triton_model(folder: Path) -> bool:
    """Return whether a folder has a `config.pbtxt`, or folders of versions alone and is none itself."""
    if (folder / "config.pbtxt").is_file():
        return True
    if not folder.is_dir() or _VERSION.fullmatch(folder.name):
        return False
    inner = [path for path in folder.iterdir() if not _OF_MACOS.fullmatch(path.name)]
    return bool(inner) and all(path.is_dir() and _VERSION.fullmatch(path.name) for path in inner)


def _empty(folder: Path) -> None:
    for path in list(folder.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _lift_single_folder(folder: Path) -> None:
    """Move the content of a single top folder one level up, if it is a model of Triton."""
    top = [path for path in folder.iterdir() if not _OF_MACOS.fullmatch(path.name)]
    if len(top) != 1 or not _is_triton_model(top[0]):
        return
    temporary = Path(tempfile.mkdtemp(dir=folder))
    model = top[0].rename(temporary / "model")
    for path in list(model.iterdir()):
        path.rename(folder / path.name)
    model.rmdir()
    temporary.rmdir()
