"""Unpacking in turn, and the limit of files of one model."""

import asyncio
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from manyserve.agent.download import DownloadError
from manyserve.agent.download.archive import unpacker
from manyserve.agent.download.archive.downloader import ArchiveKind
from manyserve.agent.download.archive.unpacker import CLASSES, Unpacker
from manyserve.agent.settings import AgentSettings
from tests.agent.download.archives import zipped
from tests.agent.support import Counted
from tests.support.eventually import LIMIT, eventually


class Unpackings:
    """Stand-in for the unpacking of archives, which waits for `release`. It counts those in work."""

    def __init__(self) -> None:
        self.now: set[str] = set()
        self.most = 0
        self.release = threading.Event()

    def unpack(self, path: Path, *_: object) -> Iterator[int]:
        self.now.add(path.name)
        self.most = max(self.most, len(self.now))
        self.release.wait(LIMIT)
        yield 1
        self.now.discard(path.name)


@pytest.fixture
def unpackings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Unpackings]:
    unpackings = Unpackings()
    monkeypatch.setattr(unpacker, "unpack_archive", unpackings.unpack)
    yield unpackings
    unpackings.release.set()


def archive(folder: Path, name: str, size: int) -> Path:
    path = folder / name
    with path.open("wb") as file:
        file.truncate(size)
    return path


async def test_unpacker_unpacks_one_archive_at_a_time(tmp_path: Path, unpackings: Unpackings) -> None:
    source, counted = Unpacker(AgentSettings()), Counted()
    paths = [archive(tmp_path, f"a{number}", 1) for number in range(4)]
    async with asyncio.TaskGroup() as group:
        for path in paths:
            group.create_task(source.unpack(path, ArchiveKind.ZIP, "https://host/a", counted))
        await eventually(lambda: bool(unpackings.now))
        unpackings.release.set()
    assert (unpackings.most, counted.lies) == (1, 4)


async def test_unpacker_does_not_let_archive_wait_for_larger_one(tmp_path: Path, unpackings: Unpackings) -> None:
    source, counted = Unpacker(AgentSettings()), Counted()
    sizes = {"large": CLASSES[1], "larger": CLASSES[1] + 1, "medium": CLASSES[0], "small": CLASSES[0] - 1}
    async with asyncio.TaskGroup() as group:
        for name, size in sizes.items():
            path = archive(tmp_path, name, size)
            group.create_task(source.unpack(path, ArchiveKind.ZIP, "https://host/a", counted))
        await eventually(lambda: len(unpackings.now) == 3)
        assert {"small", "medium"} < unpackings.now
        unpackings.release.set()
    assert unpackings.most == 3


async def test_archive_of_many_empty_files_is_refused_before_they_are_written(tmp_path: Path) -> None:
    """The archive is that of the review: 99,990 empty files. Its directory alone is too long."""
    for count, words in ((99_990, "its headers are too long"), (2_001, "it has more than 2000 entries")):
        folder = tmp_path / str(count)
        folder.mkdir()
        path = folder / "model.zip"
        path.write_bytes(zipped(*((str(number), b"") for number in range(count)), compression=zipfile.ZIP_STORED))
        with pytest.raises(DownloadError, match=words) as caught:
            await Unpacker(AgentSettings()).unpack(path, ArchiveKind.ZIP, "https://host/a", Counted())
        assert caught.value.permanent
        assert sum(1 for _ in folder.iterdir()) <= 2_001
