"""Disk budget: a download starts only if it and all running ones fit on the volume.

A download still needs its size less the bytes it stored. The sum over all downloads, and the reserve, must fit into
the free space. If a source declares no size, or a wrong one, the same sum stops its download while it grows, before
the volume is full.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from manyserve.agent.download import DownloadError


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Free space of the volume and its reservations, in bytes."""

    free: int
    others: int
    """Need of the other downloads."""
    reserve: int
    """Space that downloads leave free."""

    def fits(self, size: int) -> bool:
        """Return whether a download of this size fits."""
        return size + self.others + self.reserve <= self.free


def disk_full_error(uri: str, size: int, space: DiskSpace) -> DownloadError:
    """Return the error of a download that does not fit."""
    needs = f"needs {size} bytes" if size else "needs more"
    sentence = (
        f"{uri} {needs}, but the volume has {space.free} free, "
        f"less {space.others} for other downloads and {space.reserve} in reserve"
    )
    return DownloadError(sentence, reason="disk")


def is_full(error: BaseException) -> bool:
    """Return whether a full volume or quota caused the error."""
    return any(isinstance(each, OSError) and each.errno in {errno.ENOSPC, errno.EDQUOT} for each in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error, those in its group, and all their causes; a raised-again error may be its own cause."""
    causes: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        cause = pending.pop()
        if cause is not None and cause not in causes:
            causes.append(cause)
            pending += [cause.__cause__, *(cause.exceptions if isinstance(cause, BaseExceptionGroup) else ())]
    return causes


class DiskBudget:
    """Reservations of the running downloads."""

    def __init__(self, reserve: int) -> None:
        self._reserve = reserve
        self._needs: dict[str, int] = {}

    def space_for(self, name: str, volume: Path) -> DiskSpace:
        """Return the disk space as one model's download sees it."""
        others = sum(need for other, need in tuple(self._needs.items()) if other != name)
        return DiskSpace(shutil.disk_usage(volume).free, others, self._reserve)

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
            self._needs[name] = max(0, size - stored)
            return stored - size

        try:
            yield store
        finally:
            del self._needs[name]
