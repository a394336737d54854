"""Durable file-system operations: each survives a power cut once it returned.

They are one small class, so that a test can kill the agent before any of them.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path


class FileSystem:
    """Durable operations on files. All of them block: call them from a thread."""

    def make_folder(self, path: Path) -> None:
        """Create a folder and its parents, unless it exists."""
        path.mkdir(parents=True, exist_ok=True)

    def rename(self, source: Path, target: Path) -> None:
        """Move within the volume, atomically."""
        source.rename(target)
        self._flush_folder(source.parent)
        self._flush_folder(target.parent)

    def write(self, path: Path, text: str) -> None:
        """Write a small file atomically. `path.name` must not start with a dot."""
        partial = path.with_name(f".{path.name[:200]}")
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        self._flush_folder(path.parent)

    def remove_file(self, path: Path) -> None:
        """Remove a file, if it exists."""
        path.unlink(missing_ok=True)
        self._flush_folder(path.parent)

    def remove_tree(self, path: Path) -> None:
        """Remove a file, a link or a folder with its content, if it exists."""
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)

    def touch_tree(self, path: Path) -> None:
        """Set the times of all folders to now, and cap those of files, which archives may set to the future.

        Servers reload a model when these times change.
        """
        now = time.time_ns()
        for folder, _, names in os.walk(path):
            for file in (Path(folder) / name for name in names):
                if file.stat().st_mtime_ns > now:
                    os.utime(file, ns=(now, now))
            os.utime(folder, ns=(now, now))

    def flush_tree(self, path: Path) -> None:
        """Flush every file and folder below to the disk."""
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
