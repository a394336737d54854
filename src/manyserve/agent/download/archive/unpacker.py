"""Unpacking of downloaded archives in turn: one archive of each class of sizes at a time, over all downloads.

An archive in work has its directory in memory. A large archive takes minutes, and a smaller one does not wait for it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect
from pathlib import Path

from manyserve.agent.concurrency import in_steps, in_thread
from manyserve.agent.download.archive.downloader import (
    ArchiveKind,
    archive_kind,
    first_bytes,
    only_file,
    unpack_archive,
)
from manyserve.agent.download.archive.unpack import ArchiveLimits
from manyserve.agent.download.base import Progress
from manyserve.agent.settings import AgentSettings
from manyserve.redaction import one_line

CLASSES = (1024 * 1024, 64 * 1024 * 1024)
"""Sizes at which the second and the third class begin. By the limit of the ratio, the first takes about a second."""


class Unpacker:
    """The limits of the settings, and a lock for each class of sizes."""

    def __init__(self, settings: AgentSettings) -> None:
        self._limits = ArchiveLimits(settings.max_files, settings.max_bytes, settings.sources.archive_ratio)
        self._locks = [asyncio.Lock() for _ in range(len(CLASSES) + 1)]

    async def unpack(
        self, path: Path, kind: ArchiveKind, uri: str, progress: Progress, folder: Path | None = None
    ) -> None:
        """Replace an archive by its content, as `unpack_archive` does. Raises `DownloadError`."""
        size = (await in_thread(path.stat)).st_size
        async with self._locks[bisect(CLASSES, size)]:
            await in_steps(unpack_archive(path, kind, self._limits, one_line(uri), folder), progress.stored)

    async def unpack_only_file(self, uri: str, folder: Path, progress: Progress) -> None:
        """Replace the only file of a downloaded model by its content, if it is an archive. Raises `DownloadError`."""
        path = await in_thread(only_file, folder)
        if path is None:
            return
        kind = archive_kind(one_line(uri), path.name, "", await in_thread(first_bytes, path))
        if kind:
            await self.unpack(path, kind, uri, progress, folder)
