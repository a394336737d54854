"""Room on the volume: a download begins only if all that are under way can end.

What a download still needs is its size less what it stored. The sum over all of them, and the reserve, must fit
into what is free. A download whose size was not told, or was told wrong, is stopped by the same sum while it
grows, before the volume is full for everybody.
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
    """What is free on the volume, and for whom. In bytes."""

    free: int
    others: int
    """What the other downloads still need."""
    reserve: int
    """What is to stay free."""

    def fits(self, size: int) -> bool:
        """Tell whether so many bytes more may come."""
        return size + self.others + self.reserve <= self.free


def disk_full_error(uri: str, size: int, room: DiskSpace) -> DownloadError:
    """Return the error of a download that does not fit."""
    needs = f"needs {size} bytes" if size else "needs more"
    sentence = (
        f"{uri} {needs}, but the volume has {room.free} free, "
        f"less {room.others} for other downloads and {room.reserve} in reserve"
    )
    return DownloadError(sentence, reason="disk")


def is_full(error: BaseException) -> bool:
    """Tell whether an error comes from a volume without room."""
    return any(isinstance(each, OSError) and each.errno in {errno.ENOSPC, errno.EDQUOT} for each in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error, those in its group, and all that they came from; one that is raised anew may be its own."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            waiting += [each.__cause__, *(each.exceptions if isinstance(each, BaseExceptionGroup) else ())]
    return found


class DiskBudget:
    """The downloads under way and what each still needs."""

    def __init__(self, reserve: int) -> None:
        self._reserve = reserve
        self._needs: dict[str, int] = {}

    def room(self, name: str, volume: Path) -> DiskSpace:
        """Return what there is for one model's download."""
        others = sum(need for other, need in tuple(self._needs.items()) if other != name)
        return DiskSpace(shutil.disk_usage(volume).free, others, self._reserve)

    @contextmanager
    def taken(self, name: str, size: int) -> Iterator[Callable[[int], int]]:
        """Hold room for a download during the block.

        The yielded function takes the bytes that were just stored, and returns by how much all of them are more
        than the size.
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
