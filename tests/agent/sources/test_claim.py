"""Models on a claim that is mounted into the pod."""

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from manyserve.agent.concurrency import in_thread
from manyserve.agent.download import DownloadError, choose, downloaders
from manyserve.agent.download.pvc import ClaimDownloader
from manyserve.agent.settings import AgentSettings
from manyserve.agent.storage_settings import SourceSettings
from tests.agent.sources.archives import contents, open_files
from tests.agent.support import CancelOnArrival, Counted

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
    return ClaimDownloader(AgentSettings(sources=SourceSettings(pvc_dir=tmp_path / "pvc"), max_files=20))


async def copied(source: ClaimDownloader, folder: Path, uri: str = URI) -> dict[str, bytes]:
    counted = Counted()
    await source.fetch(await source.find(uri), folder, counted)
    files = contents(folder)
    assert counted.came == counted.lies == sum(map(len, files.values()))
    return files


async def fails(source: ClaimDownloader, uri: str = URI, *, permanent: bool = True) -> str:
    with pytest.raises(DownloadError) as caught:
        await source.find(uri)
    assert caught.value.permanent is permanent
    return str(caught.value)


async def test_a_folder_of_a_claim_is_copied(model: Path, source: ClaimDownloader, tmp_path: Path) -> None:
    whole = {"config.pbtxt": b"c", "1/model.onnx": b"m" * 3_000_000}
    assert await copied(source, tmp_path / "x") == whole
    assert await copied(source, tmp_path / "y", f"{URI}/") == whole
    assert await copied(source, tmp_path / "z", "pvc://models") == {f"a/{name}": data for name, data in whole.items()}


async def test_one_file_of_a_claim_is_the_model(model: Path, source: ClaimDownloader, tmp_path: Path) -> None:
    assert await copied(source, tmp_path / "x", f"{URI}/config.pbtxt") == {"config.pbtxt": b"c"}


async def test_the_agent_chooses_it_for_pvc(model: Path, tmp_path: Path) -> None:
    settings = AgentSettings(sources=SourceSettings(pvc_dir=tmp_path / "pvc"))
    assert (await choose(URI, downloaders(settings)).find(URI)).size == 3_000_001


async def test_a_claim_that_is_not_mounted_yet_is_waited_for(source: ClaimDownloader) -> None:
    assert await fails(source, "pvc://other/a", permanent=False) == (
        "pvc://other/a could not be read: the claim other is not mounted yet; "
        "the pods of the host are replaced by ones that have it"
    )


async def test_what_is_not_there_is_named(model: Path, source: ClaimDownloader) -> None:
    assert await fails(source, "pvc://models/b") == "pvc://models/b was not found on the claim"
    (model.parent / "b").mkdir()
    assert await fails(source, "pvc://models/b") == "pvc://models/b has no files"


@pytest.mark.parametrize("uri", ["pvc://../x", "pvc://models/../other", "pvc:///x", "pvc://a@b/x", "pvc://models/\0"])
async def test_a_uri_that_leads_elsewhere_is_refused(source: ClaimDownloader, uri: str) -> None:
    assert "does not name a claim and a path in it" in await fails(source, uri)


async def test_a_change_of_a_file_is_told(model: Path, source: ClaimDownloader) -> None:
    before = (await source.find(URI)).fingerprint
    assert (await source.find(URI)).fingerprint == before
    os.utime(model / "config.pbtxt", ns=(1, 1))
    assert (await source.find(URI)).fingerprint != before


async def test_a_link_within_the_claim_is_as_good_as_the_file(
    model: Path, source: ClaimDownloader, tmp_path: Path
) -> None:
    (model.parent / "blob").write_bytes(b"b")
    (model / "link").symlink_to("../blob")
    assert (await copied(source, tmp_path / "x"))["link"] == b"b"
    assert not (tmp_path / "x" / "link").is_symlink()


async def test_a_link_out_of_the_claim_is_refused(model: Path, source: ClaimDownloader, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (model / "link").symlink_to(tmp_path / "secret")
    assert await fails(source) == f"link of {URI} leads out of the claim"


@pytest.mark.parametrize("to", [".", "/etc", "1"])
async def test_a_link_to_a_folder_is_refused(model: Path, source: ClaimDownloader, to: str) -> None:
    (model / "link").symlink_to(to)
    assert await fails(source) == f"link of {URI} is a link to a folder"


async def test_a_path_through_a_link_out_of_the_claim_is_refused(model: Path, source: ClaimDownloader) -> None:
    (model.parent / "etc").symlink_to("/etc")
    assert await fails(source, "pvc://models/etc/passwd") == "passwd of pvc://models/etc/passwd leads out of the claim"
    assert "of pvc://models/etc " in await fails(source, "pvc://models/etc")


async def test_a_link_that_leads_nowhere_or_in_a_circle_is_named(model: Path, source: ClaimDownloader) -> None:
    (model / "link").symlink_to("nowhere")
    assert await fails(source, permanent=False) == f"link of {URI} could not be read: No such file or directory"
    (model / "link").unlink()
    (model / "link").symlink_to("link")
    assert "link of" in await fails(source, permanent=False)


async def test_a_pipe_is_refused_and_not_waited_for(model: Path, source: ClaimDownloader) -> None:
    os.mkfifo(model / "pipe")
    async with asyncio.timeout(10):
        assert await fails(source) == f"pipe of {URI} is no regular file"


async def test_a_pipe_that_comes_in_between_is_refused_and_not_waited_for(
    model: Path, source: ClaimDownloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_regular, looks = stat.S_ISREG, iter([True])
    os.mkfifo(model / "a-pipe")
    monkeypatch.setattr(stat, "S_ISREG", lambda mode: next(looks, False) or is_regular(mode))
    async with asyncio.timeout(10):
        assert await fails(source) == f"a-pipe of {URI} is no regular file"


async def test_a_claim_that_hangs_holds_up_nobody_but_its_own_models(
    model: Path, source: ClaimDownloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, walk = threading.Event(), os.walk

    def hangs(path: Path) -> object:
        if "hung" in path.parts:
            over.wait(60)
        return walk(path)

    (model.parent.parent / "hung").mkdir()
    monkeypatch.setattr(os, "walk", hangs)
    waiting = [asyncio.create_task(source.find("pvc://hung")) for _ in range(50)]
    try:
        async with asyncio.timeout(10):
            assert (await source.find(URI)).size == 3_000_001
            assert await asyncio.gather(*(in_thread(str, number) for number in range(50)))
        assert not any(each.done() for each in waiting)
    finally:
        over.set()
        assert all(isinstance(each, DownloadError) for each in await asyncio.gather(*waiting, return_exceptions=True))


@pytest.mark.parametrize("name", ["\udcff", "a\nb", "\x1b"])
async def test_a_name_that_cannot_be_printed_is_refused(model: Path, source: ClaimDownloader, name: str) -> None:
    (model / name).touch()
    assert (await fails(source)).endswith(f"of {URI} has a name that cannot be printed")


async def test_more_files_than_are_allowed_are_refused(model: Path, source: ClaimDownloader) -> None:
    for number in range(20):
        (model / f"f{number}").touch()
    assert await fails(source) == f"{URI} has more than 20 files"


async def test_a_file_that_grows_while_it_is_copied_is_told(
    model: Path, source: ClaimDownloader, tmp_path: Path
) -> None:
    listing = await source.find(URI)
    (model / "config.pbtxt").write_bytes(b"longer")
    with pytest.raises(DownloadError, match="changed while it was copied"):
        await source.fetch(listing, tmp_path / "x", Counted())


async def test_copying_stops_when_the_download_is_cancelled(
    model: Path, source: ClaimDownloader, tmp_path: Path
) -> None:
    told, listing = CancelOnArrival(), await source.find(URI)
    copying = told.task = asyncio.create_task(source.fetch(listing, tmp_path / "x", told))
    await asyncio.wait({copying})
    assert copying.cancelled()
    assert told.came < 3_000_000
    assert open_files(tmp_path) == 0
