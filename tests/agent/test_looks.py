"""Looks are shared, follow each other, and cost no more than their share; the volume is not listed for nothing."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from manyserve.agent import index_poller
from manyserve.agent.index_poller import IndexPoller
from manyserve.agent.reconcile import OnDisk
from manyserve.agent.servers import ServerUnavailableError
from manyserve.agent.volume.markers import LOADED, SUCCESS
from manyserve.agent.volume.store import Store
from tests.support.clock import FakeClock
from tests.support.eventually import eventually

DIGEST = "a" * 64
NEVER = 3600.0


class FakeIndex:
    """Answers with the number of the question, as soon as it may."""

    def __init__(self) -> None:
        self.count = 0
        self.gone = False
        self.may = asyncio.Event()
        self.may.set()

    async def __call__(self) -> int:
        self.count += 1
        number = self.count
        await self.may.wait()
        if self.gone:
            raise ServerUnavailableError("nobody is there")
        return number


@asynccontextmanager
async def running(found: IndexPoller[int], after: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    task = asyncio.create_task(found.run(NEVER, after))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_all_who_ask_while_a_look_is_under_way_share_the_next_one() -> None:
    asked = FakeIndex()
    asked.may.clear()
    found = IndexPoller(asked)
    async with running(found):
        await eventually(lambda: asked.count == 1, limit=30)
        waiting = [asyncio.create_task(found.fresh()) for _ in range(100)]
        await asyncio.sleep(0)
        asked.may.set()
        assert await asyncio.gather(*waiting) == [2] * 100, "the first began before they asked"


async def test_a_look_that_nobody_waits_for_comes_at_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_poller, "_LONGEST_REST", 0.0)
    asked, after = FakeIndex(), list[int]()
    task = asyncio.create_task(IndexPoller(asked).run(0.01, lambda: after.append(asked.count)))
    await eventually(lambda: asked.count >= 3, limit=30)
    assert after[:2] == [1, 2]
    task.cancel()


async def test_a_failed_look_is_told_to_those_who_wait_and_the_next_one_comes() -> None:
    asked = FakeIndex()
    asked.gone = True
    found = IndexPoller(asked)
    async with running(found):
        with pytest.raises(ServerUnavailableError, match="nobody is there"):
            await found.fresh()
        asked.gone = False
        assert await found.fresh() == asked.count


async def test_looks_take_no_more_than_a_tenth_of_the_time() -> None:
    clock, slept = FakeClock(), list[float]()

    async def ask() -> int:
        clock.now += 0.01  # so long takes a look
        return 1

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    real, found = asyncio.sleep, IndexPoller(ask, clock=clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("manyserve.agent.index_poller.asyncio.sleep", sleep)
        async with running(found):
            await found.fresh()
            await found.fresh()
    assert slept[0] == pytest.approx(index_poller.DUTY_FACTOR * 0.01)


def marked(root: Path) -> Store:
    store = Store(root)
    store.open()
    (store.models / "m").mkdir()
    store.mark("m", SUCCESS, DIGEST)
    store.mark("m", LOADED, DIGEST)
    return store


def long_ago(store: Store) -> None:
    """Let the last change of the folders lie back, so that their times tell of the next one."""
    for folder in (store.models, store.markers):
        os.utime(folder, (time.time() - 60, time.time() - 60))


def test_a_volume_on_which_nothing_changed_is_the_same_mapping(tmp_path: Path) -> None:
    store = marked(tmp_path)
    long_ago(store)
    first = store.scan()
    assert first == {"m": OnDisk(DIGEST, loaded=True)}
    assert store.scan() is first


@pytest.mark.parametrize("what", ["folder", "marker"])
def test_what_is_removed_by_hand_is_seen_at_the_next_look(tmp_path: Path, what: str) -> None:
    store = marked(tmp_path)
    long_ago(store)
    store.scan()
    if what == "folder":
        (store.models / "m").rmdir()
    else:
        store.marker("m", SUCCESS, DIGEST).unlink()
    assert store.scan() == ({} if what == "folder" else {"m": OnDisk()})


def test_a_change_that_the_folders_times_do_not_tell_is_found_after_some_looks(tmp_path: Path) -> None:
    store = marked(tmp_path)
    long_ago(store)
    times = store.markers.stat()
    store.scan()
    store.marker("m", LOADED, DIGEST).unlink()
    os.utime(store.markers, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert any(store.scan() == {"m": OnDisk(DIGEST)} for _ in range(40))


def test_two_changes_within_one_tick_are_both_seen(tmp_path: Path) -> None:
    store = marked(tmp_path)
    store.scan()
    times = store.markers.stat()
    store.marker("m", LOADED, DIGEST).unlink()
    os.utime(store.markers, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert store.scan() == {"m": OnDisk(DIGEST)}
