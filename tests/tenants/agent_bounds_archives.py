"""Cases of the table about downloads: archives, listings and claims."""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from manyserve.agent.download import Downloader, DownloadError, choose, downloaders
from manyserve.agent.download.archive import unpacker
from manyserve.agent.download.archive.downloader import ArchiveKind
from manyserve.agent.download.archive.formats import _MAX_GLOBAL_HEADERS, DIRECTORY_BYTES, HEADER_BYTES
from manyserve.agent.download.archive.unpacker import CLASSES, Unpacker
from manyserve.agent.settings import AgentSettings, SourceSettings
from tests.agent.download.archives import (
    contents,
    tar_of_global_headers,
    unpack_all,
    zip_of_directory,
    zipped,
)
from tests.agent.download.test_archive import refused
from tests.agent.download.test_unpacker import Unpackings, archive
from tests.agent.support import Counted, FakeBucket
from tests.support.eventually import eventually

MOST = AgentSettings().max_files
FAR = 5
"""Multiples of a limit that are far above it."""
_END_BYTES = 1024
"""Bytes that zipfile reads behind the directory, or less."""


async def listed(source: Downloader, uri: str) -> int:
    """Return the number of files in a listing."""
    return len((await source.find(uri)).files)


async def files_and_folders(folder: Path) -> None:
    await _files_of_archive(folder)
    bucket = FakeBucket()
    server = TestServer(bucket.app())
    await server.start_server()
    source = choose("gs://", downloaders(AgentSettings(sources=SourceSettings(gcs_endpoint=_url(server)))))
    bucket.objects = {f"m/{number}": b"" for number in range(MOST)}
    assert await listed(source, "gs://bucket/m") == MOST
    bucket.objects |= {f"m/{number}": b"" for number in range(FAR * MOST)}
    with pytest.raises(DownloadError, match=f"has more than {MOST} files and folders"):
        await source.find("gs://bucket/m")
    await server.close()


def _url(server: TestServer) -> str:
    return str(server.make_url("")).rstrip("/")


async def _files_of_archive(folder: Path) -> None:
    source = Unpacker(AgentSettings())
    for name, count in (("most", MOST), ("many", FAR * MOST)):
        path = folder / name / "model.zip"
        path.parent.mkdir()
        members = ((str(number), b"") for number in range(count))
        path.write_bytes(zipped(*members, compression=zipfile.ZIP_STORED))
        call = source.unpack(path, ArchiveKind.ZIP, "https://host/a", Counted())
        if count == MOST:
            await call
        else:
            with pytest.raises(DownloadError, match=f"it has more than {MOST} entries"):
                await call
        assert len(contents(path.parent)) == MOST, "the file beyond the limit is not written"


async def names_in_folder(folder: Path) -> None:
    claim = folder / "models" / "a"
    claim.mkdir(parents=True)
    source = choose("pvc://", downloaders(AgentSettings(sources=SourceSettings(pvc_dir=folder))))
    for number in range(MOST):
        (claim / str(number)).touch()
    assert await listed(source, "pvc://models/a") == MOST
    for number in range(MOST, FAR * MOST):
        (claim / str(number)).touch()
    with pytest.raises(DownloadError, match=f"has more than {MOST} files and folders"):
        await source.find("pvc://models/a")


async def archives_in_work(folder: Path) -> None:
    unpackings, source, number = Unpackings(), Unpacker(AgentSettings()), 0
    sizes = (CLASSES[0] - 1, CLASSES[0], CLASSES[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpacker, "unpack_archive", unpackings.unpack)
        async with asyncio.TaskGroup() as group:
            for size in sizes * 10:
                number += 1
                path = archive(folder, f"a{number}", size)
                group.create_task(source.unpack(path, ArchiveKind.ZIP, "https://host/a", Counted()))
            await eventually(lambda: len(unpackings.now) == len(sizes), "one of each class")
            unpackings.release.set()
    assert unpackings.most == len(sizes)


def zip_directory(folder: Path) -> None:
    below = zip_of_directory(DIRECTORY_BYTES - _END_BYTES)
    assert unpack_all(folder / "below", below, ArchiveKind.ZIP)
    above = zip_of_directory(FAR * DIRECTORY_BYTES)
    assert refused(folder / "above", above, ArchiveKind.ZIP) == "its headers are too long"


def global_headers(folder: Path) -> None:
    size = HEADER_BYTES - 5 * 512
    for number, below in enumerate((tar_of_global_headers(_MAX_GLOBAL_HEADERS), tar_of_global_headers(1, size))):
        assert unpack_all(folder / f"below{number}", below, ArchiveKind.TAR)
    count, long = tar_of_global_headers(FAR * _MAX_GLOBAL_HEADERS), tar_of_global_headers(1, FAR * HEADER_BYTES)
    for number, above in enumerate((count, long)):
        assert refused(folder / f"above{number}", above, ArchiveKind.TAR) == "its headers are too long"
