"""The few file-system steps the store is made of, each lasting a power cut once it returned.

They are one small class, so that a test can stop the agent after any of them.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path


class FileSystem:
    """Steps on files. All of them block: call them from a thread."""

    def make_folder(self, path: Path) -> None:
        """Create a folder, with its parents, unless it is there."""
        path.mkdir(parents=True, exist_ok=True)

    def rename(self, source: Path, target: Path) -> None:
        """Move within the volume, at once."""
        source.rename(target)
        self._flush_folder(source.parent)
        self._flush_folder(target.parent)

    def write(self, path: Path, text: str) -> None:
        """Write a small file whole or not at all. `path.name` must not start with a dot."""
        half = path.with_name(f".{path.name[:200]}")
        with half.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)
        self._flush_folder(path.parent)

    def remove_file(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)
        self._flush_folder(path.parent)

    def remove_tree(self, path: Path) -> None:
        """Remove a file, a link or a folder with all it holds, if it is there."""
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)

    def renew(self, path: Path) -> None:
        """Give a folder the time of now, and nothing in it a later one, as archives may: servers reload by it."""
        now = time.time_ns()
        for folder, _, names in os.walk(path):
            for file in (Path(folder) / name for name in names):
                if file.stat().st_mtime_ns > now:
                    os.utime(file, ns=(now, now))
            os.utime(folder, ns=(now, now))

    def flush_tree(self, path: Path) -> None:
        """Bring every file and folder below to the disk."""
        for folder, _, names in os.walk(path):
            for name in names:
                self._flush(Path(folder) / name)
            self._flush_folder(Path(folder))

    def _flush(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _flush_folder(self, path: Path) -> None:
        self._flush(path)
