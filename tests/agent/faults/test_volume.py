"""Full or read-only volume: the agent reports the failed model and serves the others.

Kills at any step are in `volume/test_store.py` and `test_rollback.py`, those of the program in `bench.agent.kills`.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

Remount = Callable[[str], None]


def _mount(folder: Path, options: str) -> str:
    """Mount a small volume; return the error of mount."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
async def remount(pod: Pod) -> AsyncIterator[Remount]:
    """Mount a volume of 1 MiB under the pod, and return a function that remounts it."""
    if error := _mount(pod.root, "size=1m"):
        assert not os.environ.get("CI"), f"a tmpfs cannot be mounted here: {error}"
        pytest.skip(f"a tmpfs cannot be mounted here: {error}")

    def mount_again(options: str) -> None:
        assert not _mount(pod.root, f"remount,size=1m,{options}")

    yield mount_again
    mount_again("rw")
    await pod.stop()
    _unmount(pod.root)


async def test_full_volume_fails_only_the_large_model(pod: Pod, remount: Remount) -> None:
    pod.bucket.put("small", "small")
    pod.bucket.put("large", "x" * 2_000_000)
    pod.config.write(entry("large"), entry("small"))
    await pod.start()
    await pod.shows(small="Loaded", large="DownloadFailed")
    assert "2000007 bytes" in pod.model("large").message
    assert "free" in pod.model("large").message
    pod.bucket.put("large", "not large any more")
    await pod.shows(small="Loaded", large="Loaded")


async def test_volume_filled_during_download_leaves_no_partial_model(pod: Pod, remount: Remount) -> None:
    filler = pod.root / "filler"

    def fill() -> None:
        size = os.statvfs(pod.root)
        filler.write_bytes(bytes(size.f_bavail * size.f_frsize))

    await pod.running("a")
    pod.bucket.put("b", "x" * 300_000)
    pod.bucket.during = fill
    pod.config.write(entry("a"), entry("b"))
    await pod.shows(a="Loaded", b="DownloadFailed")
    assert "No space left" in pod.model("b").message or "free" in pod.model("b").message
    assert not (pod.root / "models" / "b").exists()
    filler.unlink()
    await pod.shows(a="Loaded", b="Loaded")
    assert not pod.triton.torn


async def test_agent_start_on_full_volume_serves_existing_models(pod: Pod, remount: Remount) -> None:
    await pod.running("a")
    await eventually(pod.context.store.was_settled)
    await pod.stop()
    size = os.statvfs(pod.root)
    (pod.root / "filler").write_bytes(bytes(size.f_bavail * size.f_frsize))
    await pod.start()
    await pod.shows(a="Loaded")
    assert pod.report.settled
    assert pod.triton.calls == ["load a"]


async def test_read_only_volume_keeps_loaded_models(pod: Pod, remount: Remount) -> None:
    await pod.running("a")
    await eventually(pod.context.store.was_settled)
    pod.bucket.put("b")
    remount("ro")
    pod.config.write(entry("a"), entry("b"))
    await pod.shows(a="Loaded", b="DownloadFailed")
    assert "Read-only file system" in pod.model("b").message
    remount("rw")
    await pod.shows(a="Loaded", b="Loaded")


async def test_server_restart_on_read_only_volume_reloads_models(pod: Pod, remount: Remount) -> None:
    await pod.running("a")
    await eventually(pod.context.store.was_settled)
    await pod.stop()
    remount("ro")
    pod.triton.forget()
    await pod.start()
    await eventually(lambda: pod.triton.served == {"a": "a"})
    await pod.shows(a="Loaded")
    assert pod.report.settled
