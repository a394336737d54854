"""Archives: tar, tar.gz and zip, told by their content, unpacked in steps into the folder they lie in.

The archive's layout is kept, as KServe keeps it, but for one case that never could be served: when all lies in
one folder at the top and this folder has a `config.pbtxt`, its content is the model, as Triton wants it.
The formats of many models are archives themselves (`model.pt` is a zip). So an archive is unpacked only when
its name or its Content-Type says so, too: a name that ends in .zip, .tar, .tgz, .gz, or in no letters at all.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
import zlib
from collections.abc import Generator
from contextlib import closing
from enum import StrEnum
from pathlib import Path

from manyserve.agent.download.archive.tar import tar_members
from manyserve.agent.download.archive.unpack import ArchiveError, Bounds, unpack
from manyserve.agent.download.archive.zip import zip_members
from manyserve.agent.download.base import DownloadError

__all__ = ["Bounds", "Kind", "kind_of", "unpacked"]

_CALLED = re.compile(r".*\.(?:zip|tar|tgz|tar\.gz)", re.IGNORECASE)
_OTHER_FORMAT = re.compile(r".*\.(?!gz$)[a-z]\w*", re.IGNORECASE)
_TYPES = re.compile(r"application/(?:zip|x-zip-compressed|x-tar|x-gtar|x-gzip|gzip|x-compressed-tar)\b", re.IGNORECASE)


class Kind(StrEnum):
    """How files are packed."""

    TAR = "tar"
    TAR_GZ = "tar.gz"
    ZIP = "zip"


def kind_of(uri: str, name: str, content_type: str, start: bytes) -> Kind | None:
    """Return what kind of archive is to be unpacked; None for a file to keep. Raises `DownloadError`."""
    kind = _content(start)
    called = bool(_CALLED.fullmatch(name))
    if called and not kind:
        sentence = f"{uri} is called an archive, but its content is no tar, tar.gz or zip"
        raise DownloadError(sentence, reason="bad_archive", permanent=True)
    meant = called or not _OTHER_FORMAT.fullmatch(name) or bool(_TYPES.match(content_type))
    return kind if meant else None


def _content(start: bytes) -> Kind | None:
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return Kind.ZIP
    if start.startswith(b"\x1f\x8b"):
        try:
            inner = zlib.decompressobj(31).decompress(start, tarfile.BLOCKSIZE)
        except zlib.error:
            return None
        return Kind.TAR_GZ if _is_tar(inner) else None
    return Kind.TAR if _is_tar(start) else None


def _is_tar(start: bytes) -> bool:
    """Tell whether it starts with a header of which the checksum is right."""
    try:
        tarfile.TarInfo.frombuf(start[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def unpacked(path: Path, kind: Kind, bounds: Bounds, uri: str) -> Generator[int]:
    """Put what is packed in a file in its place, and yield the bytes written, a step each. Raises `DownloadError`."""
    folder = path.parent
    with path.open("rb") as packed:
        size = path.stat().st_size
        path.unlink()  # whatever is packed may have this name
        members = zip_members(packed, size) if kind is Kind.ZIP else tar_members(packed, zipped=kind is Kind.TAR_GZ)
        try:
            with closing(members):
                yield from unpack(members, folder, bounds.of(size))
        except ArchiveError as error:
            raise DownloadError(f"{uri} was not unpacked: {error}", reason="bad_archive", permanent=True) from error
    _lift(folder)


def _lift(folder: Path) -> None:
    """Bring the model to the top when it lies alone in a folder of its own."""
    top = list(folder.iterdir())
    if len(top) != 1 or not (top[0] / "config.pbtxt").is_file():
        return
    aside = Path(tempfile.mkdtemp(dir=folder))
    model = top[0].rename(aside / "model")
    for path in list(model.iterdir()):
        path.rename(folder / path.name)
    model.rmdir()
    aside.rmdir()
