"""Archives with the same bytes for the same files: a fixed order, owner, mode and time."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

FILE_MODE = 0o644


def write_tgz(path: Path, folder: Path, prefix: str, time: int) -> None:
    """Write the files of a folder into a gzipped tar, below a prefix."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            entry = tarfile.TarInfo(f"{prefix}/{file.relative_to(folder)}")
            content = file.read_bytes()
            entry.size, entry.mtime, entry.mode = len(content), time, FILE_MODE
            archive.addfile(entry, io.BytesIO(content))
    path.write_bytes(gzip.compress(buffer.getvalue(), mtime=time))


def sums(folder: Path) -> str:
    """Return the SHA-256 of each file below a folder, in the form of `sha256sum`."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    lines = (f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.relative_to(folder)}\n" for each in files)
    return "".join(lines)
