"""Checksums of a file: those that a server tells in its headers, in one of many ways, and their verification.

Only what speaks of the whole file counts: headers of an answer that is a part may be about the part, and
Amazon's checksum of an upload in parts is one of its parts' checksums.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import google_crc32c

from manyserve.agent.download.base import DownloadError

STEP = 1024 * 1024
_SIZES = {"sha256": 32, "sha512": 64, "sha1": 20, "md5": 16, "crc32": 4, "crc32c": 4}
_AMAZON = "x-amz-checksum-"
_ITEM = re.compile(r"\s*(?P<name>[\w-]+)=:?(?P<value>[A-Za-z0-9+/=]+):?\s*")


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
    """What a file hashes to; `before` is hashed ahead of its content, as git does."""

    algorithm: str
    value: bytes
    before: bytes = b""

    def start(self) -> _Hash:
        """Return the hash of nothing yet."""
        cyclic: dict[str, Callable[[], _Hash]] = {"crc32": _Crc32, "crc32c": google_crc32c.Checksum}
        made = cyclic.get(self.algorithm)
        begun = made() if made else hashlib.new(self.algorithm, usedforsecurity=False)
        begun.update(self.before)
        return begun


def told(headers: Mapping[str, str], *, part: bool) -> list[Checksum]:
    """Return the checksums in the headers of an answer, each once; `part` when its body is only a part."""
    whole = [*_listed(headers.get("Repr-Digest", "")), *_listed(headers.get("Digest", ""))]
    whole += _listed(headers.get("x-goog-hash", ""))
    if not part:
        whole += [*_listed(headers.get("Content-Digest", "")), *_one("md5", headers.get("Content-MD5", ""))]
        for name, value in headers.items():
            if name.lower().startswith(_AMAZON):
                whole += _one(name.lower().removeprefix(_AMAZON), value)
    return list(dict.fromkeys(whole))


def _listed(header: str) -> Iterator[Checksum]:
    """Yield what a list such as `sha-256=:...:, md5=...` has."""
    for item in header.split(","):
        if found := _ITEM.fullmatch(item):
            yield from _one(found["name"], found["value"])


def _one(name: str, value: str) -> Iterator[Checksum]:
    algorithm = {"sha": "sha1"}.get(name.lower(), name.lower().replace("-", ""))
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return
    if len(data) == _SIZES.get(algorithm):
        yield Checksum(algorithm, data)


def verify(path: Path, checksums: list[Checksum], uri: str) -> Generator[int]:
    """Read a file and yield the bytes read, a step each. Raises `DownloadError` when a checksum is another."""
    hashes = [checksum.start() for checksum in checksums]
    with path.open("rb") as file:
        while checksums and (data := file.read(STEP)):
            for each in hashes:
                each.update(data)
            yield len(data)
    for checksum, made in zip(checksums, hashes, strict=True):
        if made.digest() != checksum.value:
            sentence = f"{uri} did not arrive as it was sent: its {checksum.algorithm} is another than the server tells"
            raise DownloadError(sentence, reason="checksum")
