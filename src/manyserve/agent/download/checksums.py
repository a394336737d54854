r"""Checksums of downloads: those of files, from HTTP headers in their various forms, and the digest of a whole model.

In a partial response, a header may describe the part alone, so only some headers count. Amazon's checksum of a
multipart upload is a checksum of its parts' checksums and is ignored.

Two standard tools can compute the digest of a model's content as well. It is the SHA-256 of the lines `HEX  PATH` that
`sha256sum` prints for every file, sorted by the bytes of the path:

    find . -type f -printf '%P\n' | LC_ALL=C sort | while read f; do sha256sum "$f"; done | sha256sum
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import google_crc32c

from manyserve.agent.concurrency import in_thread
from manyserve.agent.download.base import DownloadError

CHUNK_BYTES = 1024 * 1024
_DIGEST_BYTES = {"sha256": 32, "sha512": 64, "sha1": 20, "md5": 16, "crc32": 4, "crc32c": 4}
_AMAZON = "x-amz-checksum-"
_ITEM = re.compile(r"\s*(?P<name>[\w-]+)=:?(?P<value>[A-Za-z0-9+/=]+):?\s*")
COMMAND = """find . -type f -printf '%P\\n' | LC_ALL=C sort | while read f; do sha256sum "$f"; done | sha256sum"""
_SHOWN = len("sha256:") + 12


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Checksum:
    """The expected checksum of a file. `prefix` is hashed before its content, as git does."""

    algorithm: str
    value: bytes
    prefix: bytes = b""

    def new_hash(self) -> _Hash:
        """Return a hash that has taken in the prefix."""
        cyclic: dict[str, Callable[[], _Hash]] = {"crc32": _Crc32, "crc32c": google_crc32c.Checksum}
        factory = cyclic.get(self.algorithm)
        digest = factory() if factory else hashlib.new(self.algorithm, usedforsecurity=False)
        digest.update(self.prefix)
        return digest


def header_checksums(headers: Mapping[str, str], *, is_partial: bool) -> list[Checksum]:
    """Return the distinct checksums of the whole file in the headers of a response."""
    checksums = [*_parse_list(headers.get("Repr-Digest", "")), *_parse_list(headers.get("Digest", ""))]
    checksums += _parse_list(headers.get("x-goog-hash", ""))
    if not is_partial:
        checksums += _parse_list(headers.get("Content-Digest", ""))
        checksums += _parse("md5", headers.get("Content-MD5", ""))
        for name, value in headers.items():
            if name.lower().startswith(_AMAZON):
                checksums += _parse(name.lower().removeprefix(_AMAZON), value)
    return list(dict.fromkeys(checksums))


def _parse_list(header: str) -> Iterator[Checksum]:
    """Yield the known checksums of a list such as `sha-256=:...:, md5=...`."""
    for item in header.split(","):
        if match := _ITEM.fullmatch(item):
            yield from _parse(match["name"], match["value"])


def _parse(name: str, value: str) -> Iterator[Checksum]:
    algorithm = {"sha": "sha1"}.get(name.lower(), name.lower().replace("-", ""))
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return
    if len(digest) == _DIGEST_BYTES.get(algorithm):
        yield Checksum(algorithm, digest)


def verify(path: Path, checksums: list[Checksum], uri: str) -> Generator[int]:
    """Read a file and yield the bytes of each step. Raises `DownloadError` when a checksum does not match."""
    hashes = [checksum.new_hash() for checksum in checksums]
    with path.open("rb") as file:
        while checksums and (data := file.read(CHUNK_BYTES)):
            for digest in hashes:
                digest.update(data)
            yield len(data)
    for checksum, digest in zip(checksums, hashes, strict=True):
        if digest.digest() != checksum.value:
            sentence = f"{uri} did not arrive as it was sent: its {checksum.algorithm} does not match the server's"
            raise DownloadError(sentence, reason="checksum")


async def content_digest(folder: Path) -> str:
    """Return `sha256:HEX` of all regular files below a folder. When cancelled, end after the current file."""
    lines = hashlib.sha256()
    for path in await in_thread(_files, folder):
        digest = await in_thread(_hash, os.path.join(os.fsencode(folder), path))  # noqa: PTH118 (bytes have no Path)
        lines.update(digest.encode() + b"  " + path + b"\n")
    return f"sha256:{lines.hexdigest()}"


def mismatch(uri: str, actual: str, expected: str) -> str:
    """Return the error message for content that does not have the expected digest."""
    values = f"the content {actual[:_SHOWN]}…, not {expected[:_SHOWN]}… as asked for"
    return f"{uri} has {values}; the digest of a folder is: {COMMAND}"


def _files(folder: Path) -> list[bytes]:
    """Return the paths of the regular files below a folder, relative to it, sorted."""
    root = os.fsencode(folder)
    paths = (os.path.join(parent, name) for parent, _, names in os.walk(root) for name in names)  # noqa: PTH118
    return sorted(os.path.relpath(path, root) for path in paths if not os.path.islink(path))  # noqa: PTH114


def _hash(path: bytes) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 (bytes have no Path)
        return hashlib.file_digest(file, "sha256").hexdigest()
