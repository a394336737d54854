"""Downloads from a claim that is mounted into the pod."""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from manyserve.agent.concurrency import in_thread
from manyserve.agent.download import DownloadError, choose, downloaders
from manyserve.agent.download.archive.unpacker import Unpacker
from manyserve.agent.download.pvc import ClaimDownloader
from manyserve.agent.settings import AgentSettings, SourceSettings
from tests.agent.download.archives import contents, folders, open_files, zipped
from tests.agent.support import CancelOnArrival, Counted
from tests.support.eventually import LIMIT

URI = "pvc://models/a"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "pvc" / "models" / "a"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_bytes(b"c")
    (folder / "1" / "model.onnx").write_bytes(b"m" * 3_000_000)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> ClaimDownloader:
    settings = AgentSettings(sources=SourceSettings(pvc_dir=tmp_path / "pvc"), max_files=20)
    return ClaimDownloader(settings, Unpacker(settings))


async def copied(source: ClaimDownloader, folder: Path, uri: str = URI) -> dict[str, bytes]:
    counted = Counted()
    await source.fetch(await source.find(uri), folder, counted)
    files = contents(folder)
    assert counted.came == counted.lies == sum(map(len, files.values()))
    return files


async def fetch_error(source: ClaimDownloader, uri: str = URI, *, permanent: bool = True) -> str:
    with pytest.raises(DownloadError) as caught:
        await source.find(uri)
    assert caught.value.permanent is permanent
    return str(caught.value)


async def test_claim_folder_is_copied(model: Path, source: ClaimDownloader, tmp_path: Path) -> None:
    whole = {"config.pbtxt": b"c", "1/model.onnx": b"m" * 3_000_000}
    assert await copied(source, tmp_path / "x") == whole
    assert await copied(source, tmp_path / "y", f"{URI}/") == whole
    assert await copied(source, tmp_path / "z", "pvc://models") == {f"a/{name}": data for name, data in whole.items()}


async def test_claim_empty_folders_are_part_of_model(model: Path, source: ClaimDownloader, tmp_path: Path) -> None:
    (model / "2").mkdir()
    (model / "3" / "inner").mkdir(parents=True)
    await copied(source, tmp_path / "x")
    assert folders(tmp_path / "x") == {"1", "2", "3", "3/inner"}
    assert [(file.path, file.size) for file in (await source.find(URI)).files if file.is_folder] == [
        ("2", 0),
        ("3/inner", 0),
    ]


async def test_claim_fingerprint_changes_with_empty_folder(model: Path, source: ClaimDownloader) -> None:
    before = (await source.find(URI)).fingerprint
    (model / "2").mkdir()
    with_folder = (await source.find(URI)).fingerprint
    (model / "2").rmdir()
    (model / "2").touch()
    os.utime(model / "2", ns=(0, 0))
    with_file = (await source.find(URI)).fingerprint
    assert len({before, with_folder, with_file}) == 3


async def test_claim_recovery_folder_of_file_system_is_no_part_of_model(
    model: Path, source: ClaimDownloader, tmp_path: Path
) -> None:
    (model.parent / "lost+found").mkdir(mode=0)
    (model / "lost+found").mkdir()
    await copied(source, tmp_path / "x", "pvc://models")
    assert folders(tmp_path / "x") == {"a", "a/1", "a/lost+found"}


async def test_claim_folder_that_cannot_be_read_is_reported(
    model: Path, source: ClaimDownloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def forbidden(path: object) -> object:
        if str(path).endswith("/a/1"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", forbidden)
    assert await fetch_error(source, permanent=False) == f"1 of {URI} could not be read: Permission denied"


async def test_claim_file_is_copied_as_model(model: Path, source: ClaimDownloader, tmp_path: Path) -> None:
    assert await copied(source, tmp_path / "x", f"{URI}/config.pbtxt") == {"config.pbtxt": b"c"}


@pytest.mark.parametrize("uri", ["pvc://models/packed", "pvc://models/packed/m.zip"])
async def test_claim_archive_that_is_only_file_is_unpacked(
    model: Path, source: ClaimDownloader, tmp_path: Path, uri: str
) -> None:
    packed = zipped(("config.pbtxt", b"c"), ("1/model.onnx", b"m"))
    (model.parent / "packed").mkdir()
    (model.parent / "packed" / "m.zip").write_bytes(packed)
    counted = Counted()
    await source.fetch(await source.find(uri), tmp_path / "x", counted)
    assert contents(tmp_path / "x") == {"config.pbtxt": b"c", "1/model.onnx": b"m"}
    assert (counted.came, counted.lies) == (len(packed), len(packed) + 2)
    (model / "m.zip").write_bytes(packed)
    assert (await copied(source, tmp_path / "y"))["m.zip"] == packed


async def test_claim_downloader_is_chosen_for_pvc(model: Path, tmp_path: Path) -> None:
    settings = AgentSettings(sources=SourceSettings(pvc_dir=tmp_path / "pvc"))
    assert (await choose(URI, downloaders(settings)).find(URI)).size == 3_000_001


async def test_claim_that_is_not_mounted_yet_is_no_permanent_error(source: ClaimDownloader) -> None:
    assert await fetch_error(source, "pvc://other/a", permanent=False) == (
        "pvc://other/a could not be read: the claim other is not mounted yet; "
        "the pods of the host are replaced by ones that have it"
    )


async def test_claim_without_path_or_files_is_reported(model: Path, source: ClaimDownloader) -> None:
    assert await fetch_error(source, "pvc://models/b") == "pvc://models/b was not found on the claim"
    (model.parent / "b" / "1").mkdir(parents=True)
    assert await fetch_error(source, "pvc://models/b") == "pvc://models/b has no files"


@pytest.mark.parametrize("uri", ["pvc://../x", "pvc://models/../other", "pvc:///x", "pvc://a@b/x", "pvc://models/\0"])
async def test_claim_uri_that_leads_elsewhere_is_refused(source: ClaimDownloader, uri: str) -> None:
    assert "does not name a claim and a path in it" in await fetch_error(source, uri)


async def test_claim_fingerprint_changes_with_file(model: Path, source: ClaimDownloader) -> None:
    before = (await source.find(URI)).fingerprint
    assert (await source.find(URI)).fingerprint == before
    os.utime(model / "config.pbtxt", ns=(1, 1))
    assert (await source.find(URI)).fingerprint != before


async def test_claim_link_within_claim_is_followed(model: Path, source: ClaimDownloader, tmp_path: Path) -> None:
    (model.parent / "blob").write_bytes(b"b")
    (model / "link").symlink_to("../blob")
    assert (await copied(source, tmp_path / "x"))["link"] == b"b"
    assert not (tmp_path / "x" / "link").is_symlink()


async def test_claim_link_out_of_claim_is_refused(model: Path, source: ClaimDownloader, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (model / "link").symlink_to(tmp_path / "secret")
    assert await fetch_error(source) == f"link of {URI} leads out of the claim"


@pytest.mark.parametrize("to", [".", "/etc", "1"])
async def test_claim_link_to_folder_is_refused(model: Path, source: ClaimDownloader, to: str) -> None:
    (model / "link").symlink_to(to)
    assert await fetch_error(source) == f"link of {URI} is a link to a folder"


async def test_claim_path_through_link_out_of_claim_is_refused(model: Path, source: ClaimDownloader) -> None:
    (model.parent / "etc").symlink_to("/etc")
    assert (
        await fetch_error(source, "pvc://models/etc/passwd")
        == "passwd of pvc://models/etc/passwd leads out of the claim"
    )
    assert "of pvc://models/etc " in await fetch_error(source, "pvc://models/etc")


async def test_claim_link_that_is_dangling_or_circular_is_reported(model: Path, source: ClaimDownloader) -> None:
    (model / "link").symlink_to("nowhere")
    assert await fetch_error(source, permanent=False) == f"link of {URI} could not be read: No such file or directory"
    (model / "link").unlink()
    (model / "link").symlink_to("link")
    assert "link of" in await fetch_error(source, permanent=False)


async def test_claim_pipe_is_refused_without_waiting(model: Path, source: ClaimDownloader) -> None:
    os.mkfifo(model / "pipe")
    async with asyncio.timeout(LIMIT):
        assert await fetch_error(source) == f"pipe of {URI} is no regular file"


async def test_claim_pipe_that_replaces_file_is_refused_without_waiting(
    model: Path, source: ClaimDownloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_regular, answers = stat.S_ISREG, iter([True])
    os.mkfifo(model / "a-pipe")
    monkeypatch.setattr(stat, "S_ISREG", lambda mode: next(answers, False) or is_regular(mode))
    async with asyncio.timeout(LIMIT):
        assert await fetch_error(source) == f"a-pipe of {URI} is no regular file"


async def test_claim_that_hangs_blocks_only_its_own_models(
    model: Path, source: ClaimDownloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, scandir = threading.Event(), os.scandir

    def hangs(path: Path) -> object:
        if "hung" in Path(path).parts:
            release.wait(60)
        return scandir(path)

    (model.parent.parent / "hung").mkdir()
    monkeypatch.setattr(os, "scandir", hangs)
    waiting = [asyncio.create_task(source.find("pvc://hung")) for _ in range(50)]
    try:
        async with asyncio.timeout(LIMIT):
            assert (await source.find(URI)).size == 3_000_001
            assert await asyncio.gather(*(in_thread(str, number) for number in range(50)))
        assert not any(each.done() for each in waiting)
    finally:
        release.set()
        assert all(isinstance(each, DownloadError) for each in await asyncio.gather(*waiting, return_exceptions=True))


@pytest.mark.parametrize("name", ["\udcff", "a\nb", "\x1b"])
async def test_claim_name_that_is_not_printable_is_refused(model: Path, source: ClaimDownloader, name: str) -> None:
    (model / name).touch()
    assert (await fetch_error(source)).endswith(f"of {URI} has a name that cannot be printed")


async def test_claim_with_too_many_files_is_refused(model: Path, source: ClaimDownloader) -> None:
    for number in range(10):
        (model / f"f{number}").touch()
        (model / f"folder{number}").mkdir()
    assert await fetch_error(source) == f"{URI} has more than 20 files and folders"


async def test_claim_folder_is_not_listed_beyond_the_limit(
    model: Path, source: ClaimDownloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        (model / f"f{number}").touch()
    scandir, names = os.scandir, []

    @contextmanager
    def counting(path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scandir(path) as entries:
            yield (names.append(entry.name) or entry for entry in entries)  # type: ignore[func-returns-value]

    monkeypatch.setattr(os, "scandir", counting)
    assert await fetch_error(source) == f"{URI} has more than 20 files and folders"
    assert len(names) <= 22


async def test_claim_nested_folders_count_as_files(model: Path, source: ClaimDownloader) -> None:
    folder = model.joinpath(*"abcdefghijklmnopqrst")
    folder.mkdir(parents=True)
    (folder / "x").touch()
    assert await fetch_error(source) == f"{URI} has more than 20 files and folders"


async def test_claim_file_that_grows_during_copy_is_reported(
    model: Path, source: ClaimDownloader, tmp_path: Path
) -> None:
    listing = await source.find(URI)
    (model / "config.pbtxt").write_bytes(b"longer")
    with pytest.raises(DownloadError, match="changed while it was copied"):
        await source.fetch(listing, tmp_path / "x", Counted())


async def test_claim_copy_stops_when_cancelled(model: Path, source: ClaimDownloader, tmp_path: Path) -> None:
    progress, listing = CancelOnArrival(), await source.find(URI)
    copying = progress.task = asyncio.create_task(source.fetch(listing, tmp_path / "x", progress))
    await asyncio.wait({copying})
    assert copying.cancelled()
    assert progress.came < 3_000_000
    assert open_files(tmp_path) == 0
