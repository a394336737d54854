"""Room on the volume: what does not fit is named, waits for what leaves, and stops nobody else."""

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from manyserve.agent.download import DownloadError, Listing, RemoteFile
from manyserve.agent.volume.disk_budget import DiskBudget, DiskSpace, disk_full_error, is_full
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]


@dataclass
class Usage:
    free: int


@dataclass
class Volume:
    """A volume of so many bytes, as the agent sees it."""

    root: Path
    size: int

    def usage(self, _: object) -> Usage:
        there: dict[int, int] = {}
        for path in self.root.rglob("*"):
            try:
                if path.is_file() and "markers" not in path.parts:
                    there[path.stat().st_ino] = path.stat().st_size
            except FileNotFoundError:
                continue
        return Usage(self.size - sum(there.values()))


@pytest.fixture
def volume(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Volume:
    volume = Volume(pod.root, 10_000)
    monkeypatch.setattr("shutil.disk_usage", volume.usage)
    return volume


def told(pod: Pod, name: str) -> str:
    return pod.model(name).message if name in pod.states() else ""


def put(pod: Pod, name: str, size: int) -> None:
    pod.bucket.objects[f"models/{name}/content"] = b"x" * size


def test_a_download_fits_beside_what_the_others_still_need_and_the_reserve() -> None:
    assert DiskSpace(free=100, others=30, reserve=20).fits(50)
    assert not DiskSpace(free=100, others=30, reserve=20).fits(51)


def test_what_is_stored_is_not_needed_any_more(tmp_path: Path) -> None:
    budget = DiskBudget(reserve=5)
    with budget.taken("a", 100) as store, budget.taken("b", 30):
        assert budget.room("c", tmp_path).others == 130
        assert budget.room("a", tmp_path).others == 30
        assert store(60) == -40
        assert budget.room("c", tmp_path).others == 70
        assert store(50) == 10
        assert budget.room("c", tmp_path).others == 30
    assert budget.room("c", tmp_path).others == 0


def test_a_full_volume_is_known_however_deep_the_error_lies() -> None:
    nospace = OSError(errno.ENOSPC, "No space left on device")
    wrapped = DownloadError("could not be written")
    wrapped.__cause__ = ExceptionGroup("several", [ValueError(), nospace])
    assert is_full(nospace)
    assert is_full(wrapped)
    circle = DownloadError("raised anew")
    circle.__cause__ = circle
    assert not is_full(circle)
    assert not is_full(OSError(errno.EIO, "broken"))


def test_the_sentence_has_the_figures() -> None:
    error = disk_full_error("gs://b/m", 500, DiskSpace(free=400, others=100, reserve=64))
    assert str(error) == (
        "gs://b/m needs 500 bytes, but the volume has 400 free, less 100 for other downloads and 64 in reserve"
    )
    assert (error.reason, error.permanent) == ("disk", False)


async def test_a_model_that_does_not_fit_is_named_with_the_figures_and_a_smaller_one_is_loaded(
    pod: Pod, volume: Volume
) -> None:
    pod.settings = pod.settings.model_copy(update={"disk_reserve": 100, "parallel_downloads": 1})
    put(pod, "huge", 9_950)
    put(pod, "small", 1_000)
    pod.config.write(entry("huge"), entry("small"))
    await pod.start()
    await pod.shows(huge="DownloadFailed", small="Loaded")
    assert "gs://bucket/models/huge needs 9950 bytes, but the volume has " in pod.model("huge").message
    assert pod.model("huge").message.endswith("less 0 for other downloads and 100 in reserve")
    assert not pod.model("huge").permanent
    assert not any("huge" in key for key in pod.bucket.gets), "it is not begun"
    assert volume.usage("").free == 9_000


async def test_a_download_waits_for_models_that_leave_rather_than_failing(pod: Pod, volume: Volume) -> None:
    put(pod, "old", 6_000)
    put(pod, "new", 6_000)
    pod.config.write(entry("old"))
    await pod.start()
    await pod.shows(old="Loaded")
    pod.triton.lagging.add("old")
    pod.config.write(entry("new"))
    await pod.shows(new="Loaded")
    assert pod.shop.metrics.failures.labels("download", "disk")._value.get() == 0
    assert volume.usage("").free == 4_000


async def test_a_model_that_waits_for_room_stops_no_smaller_one(pod: Pod, volume: Volume) -> None:
    pod.settings = pod.settings.model_copy(update={"parallel_downloads": 1, "download_slot_seconds": 60})
    put(pod, "old", 6_000)
    put(pod, "new", 6_000)
    put(pod, "small", 10)
    pod.config.write(entry("old"))
    await pod.start()
    await pod.shows(old="Loaded")
    await pod.server_stops()  # nothing is deleted now
    await eventually(lambda: not pod.agent.board.report.server_ready, limit=30)
    pod.config.write(entry("new"), entry("small"))
    await eventually(lambda: told(pod, "new").startswith("waits for room on the volume: 1 models"), limit=30)
    await pod.shows(new="Downloading", small="Loading")
    await pod.server_starts()
    await pod.shows(new="Loaded", small="Loaded")
    assert volume.usage("").free == 3_990


async def test_two_downloads_that_fit_only_one_after_the_other_are_not_begun_together(pod: Pod, volume: Volume) -> None:
    put(pod, "a", 6_000)
    put(pod, "b", 6_000)
    pod.config.write(entry("a"), entry("b"))
    await pod.start()
    await eventually(lambda: sorted(pod.states().values()) == ["DownloadFailed", "Loaded"], limit=30)
    failed = next(model for model in pod.agent.board.report.models.values() if model.state == "DownloadFailed")
    assert "needs 6000 bytes" in failed.message
    assert len(pod.bucket.gets) == 1
    assert volume.usage("").free == 4_000


class Growing:
    """A source that does not tell sizes, and sends for ever."""

    def __init__(self, listed: int, then: Callable[[Path], None] = lambda _: None) -> None:
        self.listed = listed
        self.written = 0
        self.then = then

    async def find(self, uri: str) -> Listing:
        return Listing(uri, (RemoteFile("archive", "archive", self.listed, "v1"),))

    async def fetch(self, _: Listing, folder: Path, progress: object) -> None:
        self.then(folder)
        with (folder / "content").open("wb") as file:
            while self.written < 1_000_000:
                progress.stored(500)  # type: ignore[attr-defined]
                self.written += file.write(b"x" * 500)
                file.flush()
                await asyncio.sleep(0)


@pytest.mark.parametrize("listed", [0, 700])
async def test_a_download_whose_size_was_not_told_or_was_wrong_ends_before_the_volume_is_full(
    pod: Pod, volume: Volume, listed: int
) -> None:
    pod.settings = pod.settings.model_copy(update={"disk_reserve": 2_000})
    put(pod, "small", 1_000)
    source = Growing(listed)
    pod.config.write(entry("a", "grow://x"), entry("small"))
    await pod.start()
    pod.shop.downloaders = {**pod.shop.downloaders, "grow": source}
    await pod.shows(a="DownloadFailed", small="Loaded")
    await eventually(lambda: told(pod, "a").startswith("grow://x needs more, but the volume has "), limit=30)
    assert pod.model("a").message.endswith("and 2000 in reserve")
    assert source.written <= 10_000 * pod.model("a").attempt
    await eventually(lambda: volume.usage("").free == 9_000 or pod.model("a").attempt > 1, limit=30)


async def test_a_volume_that_is_full_after_all_is_the_same_sentence(pod: Pod) -> None:
    def full_volume(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pod.config.write(entry("a", "grow://x"))
    await pod.start()
    pod.shop.downloaders = {**pod.shop.downloaders, "grow": Growing(0, full_volume)}
    await eventually(lambda: told(pod, "a").startswith("grow://x needs more, but the volume has "), limit=30)
    assert pod.states() == {"a": "DownloadFailed"}
    assert pod.shop.metrics.failures.labels("download", "disk")._value.get() >= 1


async def test_where_there_are_no_links_a_copy_that_does_not_fit_is_not_begun(
    pod: Pod, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    put(pod, "shared", 6_000)
    uri = "gs://bucket/models/shared"
    await pod.start()
    pod.config.write(entry("a", uri))
    await eventually(lambda: pod.states() == {"a": "Loaded"}, limit=30)
    pod.config.write(entry("a", uri), entry("b", uri))
    await eventually(lambda: "needs 6000 bytes, but the volume has 4000 free" in told(pod, "b"), limit=30)
    await eventually(lambda: not list((pod.root / "staging").iterdir()), limit=30)
    assert volume.usage("").free == 4_000
    assert pod.states()["a"] == "Loaded"
