"""Disk budget: large downloads wait or fail, and do not block other models."""

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from manyserve.agent.download import DownloadError, Listing, RemoteFile
from manyserve.agent.settings import AgentSettings
from manyserve.agent.volume.disk_budget import DiskBudget, DiskSpace, disk_full_error, disk_use
from manyserve.agent.volume.disk_space import is_full
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]


@dataclass
class Usage:
    free: int


@dataclass
class Volume:
    """Volume of `size` bytes."""

    root: Path
    size: int

    def usage(self, _: object) -> Usage:
        sizes: dict[int, int] = {}
        for path in self.root.rglob("*"):
            try:
                if path.is_file() and "markers" not in path.parts:
                    sizes[path.stat().st_ino] = path.stat().st_size
            except FileNotFoundError:
                continue
        return Usage(self.size - sum(sizes.values()))


@pytest.fixture
def volume(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Volume:
    volume = Volume(pod.root, 10_000)
    monkeypatch.setattr("shutil.disk_usage", volume.usage)
    return volume


def message_of(pod: Pod, name: str) -> str:
    return pod.model(name).message if name in pod.states() else ""


def put(pod: Pod, name: str, size: int) -> None:
    pod.bucket.objects[f"models/{name}/content"] = b"x" * size


def test_disk_space_fits_download_beside_other_needs_and_reserve() -> None:
    assert DiskSpace(free=100, others=30, reserve=20).fits(50)
    assert not DiskSpace(free=100, others=30, reserve=20).fits(51)


def test_disk_budget_subtracts_stored_bytes(tmp_path: Path) -> None:
    budget = DiskBudget(AgentSettings(disk_reserve=5))
    with budget.reserve("a", 100) as store, budget.reserve("b", 30):
        assert budget.space_for("c", tmp_path).others == 130
        assert budget.space_for("a", tmp_path).others == 30
        assert store(60) == -40
        assert budget.space_for("c", tmp_path).others == 70
        assert store(50) == 10
        assert budget.space_for("c", tmp_path).others == 30
    assert budget.space_for("c", tmp_path).others == 0


def test_disk_budget_leaves_the_share_free_at_which_pods_are_evicted(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    share = status.f_blocks * status.f_frsize // 10
    space = DiskBudget(AgentSettings(disk_reserve=5)).space_for("a", tmp_path)
    assert space.reserve == share + 5
    assert not space.fits(space.free - share)


async def test_disk_budget_of_a_volume_with_a_limit_is_its_rest(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    os.link(tmp_path / "file", tmp_path / "other")
    budget = DiskBudget(AgentSettings(disk_reserve=5, volume_bytes=1_000_000))
    assert budget.is_due(0.0, fits=True)
    await budget.measure(tmp_path, 0.0)
    used = disk_use(tmp_path)
    assert 10_000 <= used < 40_000, "a file with two links counts once"
    space = budget.space_for("a", tmp_path / "staging")
    assert (space.free, space.reserve) == (1_000_000 - used, 5)
    with budget.reserve("b", 500) as store:
        store(300)
    assert budget.space_for("a", tmp_path).free == 1_000_000 - used - 300
    assert not budget.is_due(30.0, fits=True)
    assert budget.is_due(30.0, fits=False)
    assert budget.is_due(60.0, fits=True)


def test_disk_budget_counts_inodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = DiskBudget(AgentSettings(max_files=100, disk_reserve_percent=0))
    status = os.statvfs(tmp_path)

    def with_inodes(free: int, total: int = 2_000) -> None:
        fields = [*status]
        fields[5:8] = [total, free, free]  # f_files, f_ffree, f_favail
        monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))

    with_inodes(200)  # 5 % of 2,000 and 100
    assert budget.space_for("a", tmp_path).fits(1)
    with budget.reserve("b", 0):
        space = budget.space_for("a", tmp_path)
        assert not space.fits(1)
    assert str(disk_full_error("gs://b/m", 1, space)) == (
        "gs://b/m may need more files than the volume can hold: 100 inodes are missing"
    )
    with_inodes(199)
    assert not budget.space_for("a", tmp_path).fits(1)
    with_inodes(0, 0)
    assert budget.space_for("a", tmp_path).fits(1), "the file system has no number of inodes"


async def test_agent_keeps_below_limit_of_volume(pod: Pod) -> None:
    put(pod, "small", 10_000)
    put(pod, "large", 300_000)
    pod.settings = pod.settings.model_copy(update={"volume_bytes": 200_000})
    pod.config.write(entry("small"), entry("large"))
    await pod.start()
    await pod.shows(small="Loaded", large="DownloadFailed")
    assert "gs://bucket/models/large needs 300000 bytes, but the volume has " in pod.model("large").message
    assert disk_use(pod.root) < 200_000


def test_is_full_finds_nested_errors() -> None:
    nospace = OSError(errno.ENOSPC, "No space left on device")
    wrapped = DownloadError("could not be written")
    wrapped.__cause__ = ExceptionGroup("several", [ValueError(), nospace])
    assert is_full(nospace)
    assert is_full(wrapped)
    circle = DownloadError("raised anew")
    circle.__cause__ = circle
    assert not is_full(circle)
    assert not is_full(OSError(errno.EIO, "broken"))


def test_disk_full_error_has_the_figures() -> None:
    error = disk_full_error("gs://b/m", 500, DiskSpace(free=400, others=100, reserve=64))
    assert str(error) == (
        "gs://b/m needs 500 bytes, but the volume has 400 free, less 100 for other downloads and 64 in reserve"
    )
    assert (error.reason, error.permanent) == ("disk", False)


async def test_disk_budget_rejects_large_model_and_loads_small_model(pod: Pod, volume: Volume) -> None:
    pod.settings = pod.settings.model_copy(update={"disk_reserve": 100, "parallel_downloads": 1})
    put(pod, "huge", 9_950)
    put(pod, "small", 1_000)
    pod.config.write(entry("huge"), entry("small"))
    await pod.start()
    await pod.shows(huge="DownloadFailed", small="Loaded")
    assert "gs://bucket/models/huge needs 9950 bytes, but the volume has " in pod.model("huge").message
    assert pod.model("huge").message.endswith("less 0 for other downloads and 100 in reserve")
    assert not pod.model("huge").permanent
    assert not any("huge" in key for key in pod.bucket.gets), "the download does not start"
    assert volume.usage("").free == 9_000


async def test_download_waits_for_disk_space_of_removed_models(pod: Pod, volume: Volume) -> None:
    put(pod, "old", 6_000)
    put(pod, "new", 6_000)
    pod.config.write(entry("old"))
    await pod.start()
    await pod.shows(old="Loaded")
    pod.triton.lagging.add("old")
    pod.config.write(entry("new"))
    await pod.shows(new="Loaded")
    assert pod.context.metrics.failures.labels("download", "disk")._value.get() == 0
    assert volume.usage("").free == 4_000


async def test_download_waiting_for_disk_space_does_not_block_small_model(pod: Pod, volume: Volume) -> None:
    pod.settings = pod.settings.model_copy(update={"parallel_downloads": 1, "download_slot_seconds": 60})
    put(pod, "old", 6_000)
    put(pod, "new", 6_000)
    put(pod, "small", 10)
    pod.config.write(entry("old"))
    await pod.start()
    await pod.shows(old="Loaded")
    await pod.server_stops()  # nothing is deleted now
    await eventually(lambda: not pod.report.server_ready)
    pod.config.write(entry("new"), entry("small"))
    await eventually(lambda: message_of(pod, "new").startswith("waits for disk space: 1 models"))
    await pod.shows(new="Downloading", small="Loading")
    await pod.server_starts()
    await pod.shows(new="Loaded", small="Loaded")
    assert volume.usage("").free == 3_990


async def test_disk_budget_rejects_second_of_two_large_downloads(pod: Pod, volume: Volume) -> None:
    put(pod, "a", 6_000)
    put(pod, "b", 6_000)
    pod.config.write(entry("a"), entry("b"))
    await pod.start()
    await eventually(lambda: sorted(pod.states().values()) == ["DownloadFailed", "Loaded"])
    failed = next(model for model in pod.report.models.values() if model.state == "DownloadFailed")
    assert "needs 6000 bytes" in failed.message
    assert len(pod.bucket.gets) == 1
    assert volume.usage("").free == 4_000


class Growing:
    """Source with an endless file of undeclared size."""

    def __init__(self, listed: int, then: Callable[[Path], None] = lambda _: None) -> None:
        self.listed = listed
        self.written = 0
        self.then = then

    async def find(self, uri: str) -> Listing:
        return Listing(uri, (RemoteFile("archive", "archive", self.listed, "v1"),))

    async def fetch(self, listing: Listing, folder: Path, progress: object) -> Listing:
        self.then(folder)
        with (folder / "content").open("wb") as file:
            while self.written < 1_000_000:
                progress.stored(500)  # type: ignore[attr-defined]
                self.written += file.write(b"x" * 500)
                file.flush()
                await asyncio.sleep(0)
        return listing


@pytest.mark.parametrize("listed", [0, 700])
async def test_disk_budget_stops_growing_download_without_size(pod: Pod, volume: Volume, listed: int) -> None:
    pod.settings = pod.settings.model_copy(update={"disk_reserve": 2_000})
    put(pod, "small", 1_000)
    source = Growing(listed)
    pod.config.write(entry("a", "grow://x"), entry("small"))
    await pod.start()
    pod.context.downloaders = {**pod.context.downloaders, "grow": source}
    await pod.shows(a="DownloadFailed", small="Loaded")
    await eventually(lambda: message_of(pod, "a").startswith("grow://x needs more, but the volume has "))
    assert pod.model("a").message.endswith("and 2000 in reserve")
    assert source.written <= 10_000 * pod.model("a").attempt
    await eventually(lambda: volume.usage("").free == 9_000 or pod.model("a").attempt > 1)


async def test_download_reports_full_volume_with_the_same_message(pod: Pod) -> None:
    def full_volume(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pod.config.write(entry("a", "grow://x"))
    await pod.start()
    pod.context.downloaders = {**pod.context.downloaders, "grow": Growing(0, full_volume)}
    await eventually(lambda: message_of(pod, "a").startswith("grow://x needs more, but the volume has "))
    assert pod.states() == {"a": "DownloadFailed"}
    assert pod.context.metrics.failures.labels("download", "disk")._value.get() >= 1


async def test_dedup_copy_needs_disk_space(pod: Pod, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    put(pod, "shared", 6_000)
    uri = "gs://bucket/models/shared"
    await pod.start()
    pod.config.write(entry("a", uri))
    await eventually(lambda: pod.states() == {"a": "Loaded"})
    pod.config.write(entry("a", uri), entry("b", uri))
    await eventually(lambda: "needs 6000 bytes, but the volume has 4000 free" in message_of(pod, "b"))
    await eventually(lambda: not list((pod.root / "staging").iterdir()))
    assert volume.usage("").free == 4_000
    assert pod.states()["a"] == "Loaded"
