"""Disk budget: the space and the inodes of the volume that downloads may take.

A download starts only if it and all running ones fit on the volume. A download still needs its size less the bytes it
stored. The sum over all downloads, and the reserve, must fit into the free space. If a source declares no size, or a
wrong one, the same sum stops its download while it grows, before the volume is full.

The volume is a part of the node's disk, and at 10 % of free space, or 5 % of free inodes, the kubelet evicts pods of
the node. So these shares are part of the reserve. Each download reserves the inodes of the largest model.
Where the volume has a limit of its own, the budget is the rest of that limit. The kubelet evicts a pod that exceeds it.
The use of the volume is measured now and then, and stored bytes are added in between.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from manyserve.agent.concurrency import in_thread
from manyserve.agent.download import DownloadError
from manyserve.agent.settings import AgentSettings

_INODES_PERCENT = 5
"""Share of free inodes at which the kubelet evicts pods, by default."""
_MEASURED_SECONDS, _SHORTEST_SECONDS = 60.0, 1.0  # between two measurements
_BLOCK_BYTES = 512  # the unit of st_blocks


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Free space of the volume and its reservations, in bytes."""

    free: int
    others: int
    """Need of the other downloads."""
    reserve: int
    """Space that downloads leave free."""
    inodes: int = 0
    """Free inodes beyond the reserve and the reservations. Below zero the download does not fit."""

    def fits(self, size: int) -> bool:
        """Return whether a download of this size fits."""
        return size + self.others + self.reserve <= self.free and self.inodes >= 0


def disk_full_error(uri: str, size: int, space: DiskSpace) -> DownloadError:
    """Return the error of a download that does not fit."""
    if space.inodes < 0:
        sentence = f"{uri} may need more files than the volume can hold: {-space.inodes} inodes are missing"
        return DownloadError(sentence, reason="disk")
    needs = f"needs {size} bytes" if size else "needs more"
    sentence = (
        f"{uri} {needs}, but the volume has {space.free} free, "
        f"less {space.others} for other downloads and {space.reserve} in reserve"
    )
    return DownloadError(sentence, reason="disk")


class DiskBudget:
    """Reservations of the running downloads, and the use of a volume with a limit."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._needs: dict[str, int] = {}
        self._stored = 0
        self._base = 0
        """The use of the volume, less the bytes that were stored before the last measurement."""
        self._measured_at = float("-inf")

    def space_for(self, name: str, volume: Path) -> DiskSpace:
        """Return the disk space as one model's download sees it."""
        settings, status = self._settings, os.statvfs(volume)
        needs = [need for other, need in tuple(self._needs.items()) if other != name]
        free = shutil.disk_usage(volume).free
        share = status.f_blocks * status.f_frsize * settings.disk_reserve_percent // 100
        if settings.volume_bytes and (rest := settings.volume_bytes - self._base - self._stored) < free - share:
            free, share = max(0, rest), 0
        reserve = settings.disk_reserve + share
        return DiskSpace(free, sum(needs), reserve, self._inodes(status, len(needs)))

    def _inodes(self, status: os.statvfs_result, downloads: int) -> int:
        """Return the inodes beyond all needs; 0 on a file system without a number of inodes, such as btrfs."""
        if not status.f_files:
            return 0
        reserve = status.f_files * _INODES_PERCENT // 100
        return status.f_favail - reserve - (downloads + 1) * self._settings.max_files

    def is_due(self, now: float, *, fits: bool) -> bool:
        """Return whether the use of a volume with a limit is to be measured; earlier, if a download does not fit."""
        age = now - self._measured_at
        return self._settings.volume_bytes is not None and age >= (_MEASURED_SECONDS if fits else _SHORTEST_SECONDS)

    async def measure(self, volume: Path, now: float) -> None:
        """Measure the use of the volume. Bytes that are stored meanwhile may count twice until the next time."""
        before = self._stored
        self._base = await in_thread(disk_use, volume) - before
        self._measured_at = now

    @contextmanager
    def reserve(self, name: str, size: int) -> Iterator[Callable[[int], int]]:
        """Reserve space for a download during the block.

        The yielded function takes the number of bytes just stored, and returns the excess of their sum over the size.
        """
        stored = 0
        self._needs[name] = size

        def store(count: int) -> int:
            nonlocal stored
            stored += count
            self._stored += count
            self._needs[name] = max(0, size - stored)
            return stored - size

        try:
            yield store
        finally:
            del self._needs[name]


def disk_use(folder: Path) -> int:
    """Return the bytes of the blocks below a folder, as `du` counts them. A file with several links counts once."""
    total, linked = 0, set()
    for parent, _, names in os.walk(folder):
        for name in (".", *names):
            try:
                status = os.lstat(os.path.join(parent, name))  # noqa: PTH118 (many files)
            except FileNotFoundError:
                continue
            if status.st_ino not in linked:
                total += status.st_blocks * _BLOCK_BYTES
            if status.st_nlink > 1 and name != ".":
                linked.add(status.st_ino)
    return total
