r"""Digest of a model's content, which two standard tools can compute as well.

It is the SHA-256 of the lines `HEX  PATH` that `sha256sum` prints for every file, sorted by the bytes of the path:

    find . -type f -printf '%P\n' | LC_ALL=C sort | while read f; do sha256sum "$f"; done | sha256sum
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from manyserve.agent.concurrency import in_thread

COMMAND = """find . -type f -printf '%P\\n' | LC_ALL=C sort | while read f; do sha256sum "$f"; done | sha256sum"""
_SHOWN = len("sha256:") + 12


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
