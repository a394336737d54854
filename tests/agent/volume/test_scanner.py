"""Scanner of the volume."""

import os
import time
from pathlib import Path

import pytest

from manyserve.agent.reconcile import OnDisk
from manyserve.agent.volume.markers import LOADED, SUCCESS
from manyserve.agent.volume.store import Store

DIGEST = "a" * 64


def marked(root: Path) -> Store:
    store = Store(root)
    store.open()
    (store.models / "m").mkdir()
    store.mark("m", SUCCESS, DIGEST)
    store.mark("m", LOADED, DIGEST)
    return store


def long_ago(store: Store) -> None:
    """Set the times of the folders back, so that the next change shows in them."""
    for folder in (store.models, store.markers):
        os.utime(folder, (time.time() - 60, time.time() - 60))


def test_scanner_returns_same_mapping_without_change(tmp_path: Path) -> None:
    store = marked(tmp_path)
    long_ago(store)
    first = store.scan()
    assert first == {"m": OnDisk(DIGEST, loaded=True)}
    assert store.scan() is first


@pytest.mark.parametrize("removed", ["folder", "marker"])
def test_scanner_finds_manual_removal(tmp_path: Path, removed: str) -> None:
    store = marked(tmp_path)
    long_ago(store)
    store.scan()
    if removed == "folder":
        (store.models / "m").rmdir()
    else:
        store.marker("m", SUCCESS, DIGEST).unlink()
    assert store.scan() == ({} if removed == "folder" else {"m": OnDisk()})


def test_scanner_finds_change_with_unchanged_times(tmp_path: Path) -> None:
    store = marked(tmp_path)
    long_ago(store)
    times = store.markers.stat()
    store.scan()
    store.marker("m", LOADED, DIGEST).unlink()
    os.utime(store.markers, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert any(store.scan() == {"m": OnDisk(DIGEST)} for _ in range(40))


def test_scanner_finds_two_changes_in_one_clock_tick(tmp_path: Path) -> None:
    store = marked(tmp_path)
    store.scan()
    times = store.markers.stat()
    store.marker("m", LOADED, DIGEST).unlink()
    os.utime(store.markers, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert store.scan() == {"m": OnDisk(DIGEST)}
