r"""The digest of a model's content, as anybody can compute it with two standard tools.

It is the SHA-256 of the lines `HEX  PATH` that `sha256sum` prints for every file, sorted by the bytes of the path:

    find . -type f -printf '%P\n' | LC_ALL=C sort | while read f; do sha256sum "$f"; done | sha256sum
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from manyserve.agent.threads import in_thread

HOW = """find . -type f -printf '%P\\n' | LC_ALL=C sort | while read f; do sha256sum "$f"; done | sha256sum"""
_SHOWN = len("sha256:") + 12


async def content_digest(folder: Path) -> str:
    """Return `sha256:HEX` of all regular files below a folder. Ends soon when cancelled, after the file at hand."""
    lines = hashlib.sha256()
    for path in await in_thread(_files, folder):
        found = await in_thread(_hash, os.path.join(os.fsencode(folder), path))  # noqa: PTH118 (bytes have no Path)
        lines.update(found.encode() + b"  " + path + b"\n")
    return f"sha256:{lines.hexdigest()}"


def mismatch(uri: str, found: str, asked: str) -> str:
    """Return the sentence for a content that is not the one asked for."""
    values = f"the content {found[:_SHOWN]}…, not {asked[:_SHOWN]}… as asked for"
    return f"{uri} has {values}; the digest of a folder is: {HOW}"


def _files(folder: Path) -> list[bytes]:
    """Return the paths of the regular files below a folder, relative to it, sorted."""
    root = os.fsencode(folder)
    found = (os.path.join(place, name) for place, _, names in os.walk(root) for name in names)  # noqa: PTH118
    return sorted(os.path.relpath(path, root) for path in found if not os.path.islink(path))  # noqa: PTH114


def _hash(path: bytes) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 (bytes have no Path)
        return hashlib.file_digest(file, "sha256").hexdigest()
