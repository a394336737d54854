"""Store of the volume: after a kill at any step, no incomplete model counts as complete."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from manyserve.agent.reconcile import OnDisk
from manyserve.agent.volume.durable_fs import FileSystem
from manyserve.agent.volume.markers import KEPT, LOADED, SUCCESS
from manyserve.agent.volume.store import Store
from tests.agent.support import DROPPED_STREAMS, Pod, entry, newest
from tests.support.eventually import eventually

pytestmark = DROPPED_STREAMS

A, B = "a" * 64, "b" * 64


class KilledError(BaseException):
    """The process was killed."""


class KillingFileSystem(FileSystem):
    """File system that kills before the nth operation."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __getattribute__(self, name: str) -> object:
        attribute = super().__getattribute__(name)
        if callable(attribute) and not name.startswith("_"):
            if self.left == 0:
                raise KilledError
            self.left -= 1
        return attribute


def put(store: Store, name: str, digest: str, content: str) -> None:
    folder = store.stage(name, digest)
    (folder / "content").write_text(content)
    (folder / "1").mkdir()
    (folder / "1" / "weights").write_text(content)
    store.swap_in(name, digest)
    store.mark(name, SUCCESS, digest, fingerprint=content)


def opened(root: Path, files: FileSystem | None = None) -> Store:
    store = Store(root, files)
    store.open()
    return store


def test_store_lists_model_once_marked(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, "m", A, "one")
    assert store.scan() == {"m": OnDisk(A)}
    assert store.fingerprint("m", A) == "one"
    store.mark("m", LOADED, A)
    assert store.scan() == {"m": OnDisk(A, loaded=True)}


def test_store_swap_removes_loaded_marker(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, "m", A, "one")
    store.mark("m", LOADED, A)
    put(store, "m", B, "two")
    put(store, "m", A, "one")
    assert store.scan() == {"m": OnDisk(A, kept=A)}


def test_store_ignores_forged_marker_inside_model(tmp_path: Path) -> None:
    store = opened(tmp_path)
    folder = store.stage("m", A)
    (folder / f"m.SUCCESS.{A}").write_text("{}")
    store.swap_in("m", A)
    assert store.scan() == {"m": OnDisk()}


def loaded(store: Store, name: str, digest: str, content: str) -> None:
    put(store, name, digest, content)
    store.mark(name, LOADED, digest)


def test_store_keeps_loaded_version_until_dropped(tmp_path: Path) -> None:
    store = opened(tmp_path)
    loaded(store, "m", A, "one")
    put(store, "m", B, "two")
    assert store.scan() == {"m": OnDisk(B, kept=A)}
    assert (store.kept / "m" / "content").read_text() == "one"
    put(store, "m", B, "three")
    assert store.scan() == {"m": OnDisk(B, kept=A)}, "a version that was not loaded replaces nothing"
    store.drop_kept("m")
    assert store.scan() == {"m": OnDisk(B)}
    assert not list(store.kept.iterdir())


def test_store_restores_kept_version_and_stages_the_other(tmp_path: Path) -> None:
    store = opened(tmp_path)
    loaded(store, "m", A, "one")
    before = store.models.joinpath("m").stat().st_mtime_ns
    put(store, "m", B, "two")
    assert store.is_previous_loaded("m")
    assert store.restore_kept("m", touch=False) == "two"
    assert store.scan() == {"m": OnDisk(kept=A)}
    store.confirm_restored("m")
    assert store.scan() == {"m": OnDisk(A, loaded=True)}
    assert store.fingerprint("m", A) == "one"
    assert (store.models / "m" / "content").read_text() == "one"
    assert store.models.joinpath("m").stat().st_mtime_ns == before, "the server does not reload it"
    assert (store.staged("m", B) / "content").read_text() == "two"


def test_store_load_attempt_clears_is_previous_loaded(tmp_path: Path) -> None:
    store = opened(tmp_path)
    loaded(store, "m", A, "one")
    put(store, "m", B, "two")
    store.record_load_attempt("m")
    assert not store.is_previous_loaded("m")
    assert not opened(tmp_path).is_previous_loaded("m")
    before = store.kept.joinpath("m").stat().st_mtime_ns
    store.restore_kept("m", touch=True)
    assert store.models.joinpath("m").stat().st_mtime_ns > before


def test_store_new_version_has_newer_times(tmp_path: Path) -> None:
    store = opened(tmp_path)
    folder = store.stage("m", A)
    (folder / "content").write_text("from an archive")
    os.utime(folder / "content", (4e9, 4e9))
    store.swap_in("m", A)
    store.mark("m", SUCCESS, A)
    first = newest(store.models / "m")
    put(store, "m", B, "two")
    assert newest(store.models / "m") > first


def test_store_open_removes_kept_folder_without_marker(tmp_path: Path) -> None:
    store = opened(tmp_path)
    loaded(store, "m", A, "one")
    put(store, "m", B, "two")
    store.marker("m", KEPT, A).unlink()
    assert not list(opened(tmp_path).kept.iterdir())


def test_store_ignores_two_markers_of_one_kind(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, "m", A, "one")
    store.mark("m", SUCCESS, B)
    assert store.scan() == {"m": OnDisk()}


def test_store_open_clears_staging_and_orphaned_markers(tmp_path: Path) -> None:
    store = opened(tmp_path)
    (store.stage("m", A) / "half").write_text("half")
    store.mark("gone", SUCCESS, A)
    (tmp_path / "markers" / ".half").write_text("half")
    (tmp_path / "models" / "lost+found").mkdir()
    store = opened(tmp_path)
    assert not list(store.staging.iterdir())
    assert not list(store.markers.iterdir())
    assert store.scan() == {}
    assert (tmp_path / "models" / "lost+found").exists(), "foreign folders stay"


def test_store_open_keeps_settled_marker(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert not store.was_settled()
    store.settle()
    assert opened(tmp_path).was_settled()
    assert store.scan() == {}


def test_store_separates_names_with_common_prefix(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, "m", A, "one")
    put(store, "m-2", B, "two")
    store.delete("m")
    assert store.scan() == {"m-2": OnDisk(B)}


def test_store_open_keeps_mode_and_group_of_existing_folders(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir(mode=0o2770)
    models.chmod(0o2770)
    put(opened(tmp_path), "m", A, "one")
    assert models.stat().st_mode & 0o7777 == 0o2770
    assert (models / "m").stat().st_gid == models.stat().st_gid


def failed_update(store: Store) -> None:
    put(store, "m", B, "two")
    store.record_load_attempt("m")
    store.restore_kept("m", touch=True)
    store.confirm_restored("m")


CHANGES: list[Callable[[Store], None]] = [
    lambda store: put(store, "m", B, "two"),
    lambda store: store.delete("m"),
    lambda store: put(store, "m", A, "one"),
    lambda store: store.settle(),
    failed_update,
]


@pytest.mark.parametrize("start", [put, loaded], ids=["new", "loaded"])
@pytest.mark.parametrize("change", CHANGES, ids=["update", "delete", "again", "settle", "back"])
def test_store_marked_models_are_complete_after_kill_at_any_step(
    tmp_path: Path, change: Callable[[Store], None], start: Callable[[Store, str, str, str], None]
) -> None:
    contents = {A: "one", B: "two"}
    for step in range(40):
        root = tmp_path / str(step)
        start(opened(root), "m", A, "one")
        files = KillingFileSystem(step)
        dying = Store(root, files)
        with suppress(KilledError):
            change(dying)
        store = opened(root)
        for name, disk in store.scan().items():
            if disk.digest:
                assert (store.models / name / "content").read_text() == contents[disk.digest]
                assert (store.models / name / "1" / "weights").exists()
            if disk.kept:
                store.restore_kept(name, touch=False)
                store.confirm_restored(name)
                assert (store.models / name / "content").read_text() == contents[disk.kept]
                assert store.scan()[name].digest == disk.kept
        store = opened(root)
        assert not list(store.staging.iterdir())
        if files.left:
            return
    pytest.fail("the change did not complete")


async def test_agent_completes_update_after_kill_at_any_step(pod: Pod) -> None:
    pod.bucket.put("a", "first")
    pod.bucket.put("b", "second")
    for step in range(40):
        pod.config.write(entry("a"))
        pod.store = None
        await pod.start()
        await eventually(lambda: pod.triton.served.get("a") == "first" and pod.states() == {"a": "Loaded"})
        await pod.stop()
        files = KillingFileSystem(step + 4)  # the four folders are there
        pod.store = Store(pod.root, files)
        pod.config.write(entry("a", "gs://bucket/models/b"))
        await pod.start()
        await eventually(lambda files=files: files.left == 0 or pod.states() == {"a": "Loaded"})  # type: ignore[misc]
        await pod.stop()
        pod.store = None
        await pod.start()
        await eventually(lambda: pod.triton.served.get("a") == "second" and pod.states() == {"a": "Loaded"})
        await pod.stop()
        assert not pod.triton.torn
        if files.left:
            return
    pytest.fail("the update did not complete")
