"""Cases of the table about downloads: the node's disk and inodes, and the limit of the volume."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from manyserve.agent.settings import GIB, AgentSettings
from manyserve.agent.volume.disk_budget import DiskBudget, disk_full_error, disk_use

TOTAL, FREE, INODES = 100 * GIB, 20 * GIB, 1_000_000
DEFAULTS = AgentSettings()


@contextmanager
def disk(free: int = FREE, free_inodes: int = INODES) -> Iterator[None]:
    """Let every file system have `TOTAL` bytes and `INODES` inodes, so many of them free."""
    fields = (1, 1, TOTAL, free, free, INODES, free_inodes, free_inodes, 0, 255)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
        yield


def node_disk(folder: Path) -> None:
    with disk():
        space = DiskBudget(DEFAULTS).space_for("a", folder)
    rest = FREE - TOTAL // 10 - DEFAULTS.disk_reserve
    assert space.fits(rest)
    assert not space.fits(rest + 1)
    assert not space.fits(TOTAL)
    assert f"needs {TOTAL} bytes, but the volume has {FREE} free" in str(disk_full_error("gs://b/m", TOTAL, space))


def node_inodes(folder: Path) -> None:
    budget, downloads = DiskBudget(DEFAULTS), 10
    with disk(free_inodes=INODES // 20 + downloads * DEFAULTS.max_files), ExitStack() as stack:
        for number in range(downloads - 1):
            stack.enter_context(budget.reserve(f"m{number}", 0))
        assert budget.space_for("a", folder).fits(1), "ten downloads"
        for number in range(9 * downloads):
            stack.enter_context(budget.reserve(f"n{number}", 0))
        space = budget.space_for("a", folder)
    assert not space.fits(1)
    missing = 9 * downloads * DEFAULTS.max_files
    assert str(disk_full_error("gs://b/m", 1, space)).endswith(f"{missing} inodes are missing")


async def volume(folder: Path) -> None:
    (folder / "model").write_bytes(b"x" * 100_000)
    budget = DiskBudget(AgentSettings(volume_bytes=GIB))
    with disk():
        await budget.measure(folder, 0.0)
        space = budget.space_for("a", folder)
    rest = GIB - disk_use(folder) - DEFAULTS.disk_reserve
    assert space.fits(rest)
    assert not space.fits(rest + 1)
    assert f"needs {10 * GIB} bytes, but the volume has " in str(disk_full_error("gs://b/m", 10 * GIB, space))
