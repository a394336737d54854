"""The volume: whatever the moment of a kill, no half model is taken for a whole one."""

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
    """The process is gone."""


class Fragile(FileSystem):
    """Dies before the nth step."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if callable(found) and not name.startswith("_"):
            if self.left == 0:
                raise KilledError
            self.left -= 1
        return found


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


def test_a_model_is_there_once_it_is_marked(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, "m", A, "one")
    assert store.scan() == {"m": OnDisk(A)}
    assert store.fingerprint("m", A) == "one"
    store.mark("m", LOADED, A)
    assert store.scan() == {"m": OnDisk(A, loaded=True)}


def test_a_swap_forgets_that_the_old_files_were_loaded(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, "m", A, "one")
    store.mark("m", LOADED, A)
    put(store, "m", B, "two")
    put(store, "m", A, "one")
    assert store.scan() == {"m": OnDisk(A, kept=A)}


def test_a_forged_marker_inside_the_model_proves_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    folder = store.stage("m", A)
    (folder / f"m.SUCCESS.{A}").write_text("{}")
    store.swap_in("m", A)
    assert store.scan() == {"m": OnDisk()}


def loaded(store: Store, name: str, digest: str, content: str) -> None:
    put(store, name, digest, content)
    store.mark(name, LOADED, digest)


def test_a_version_that_the_server_took_is_kept_until_it_is_dropped(tmp_path: Path) -> None:
    store = opened(tmp_path)
    loaded(store, "m", A, "one")
    put(store, "m", B, "two")
    assert store.scan() == {"m": OnDisk(B, kept=A)}
    assert (store.kept / "m" / "content").read_text() == "one"
    put(store, "m", B, "three")
    assert store.scan() == {"m": OnDisk(B, kept=A)}, "one that it did not take replaces nothing"
    store.drop_kept("m")
    assert store.scan() == {"m": OnDisk(B)}
    assert not list(store.kept.iterdir())


def test_the_kept_version_comes_back_as_it_was_and_the_other_waits_in_staging(tmp_path: Path) -> None:
    store = opened(tmp_path)
    loaded(store, "m", A, "one")
    before = store.models.joinpath("m").stat().st_mtime_ns
    put(store, "m", B, "two")
    assert store.is_sure("m")
    assert store.put_back("m", renewed=False) == "two"
    assert store.scan() == {"m": OnDisk(kept=A)}
    store.confirm("m")
    assert store.scan() == {"m": OnDisk(A, loaded=True)}
    assert store.fingerprint("m", A) == "one"
    assert (store.models / "m" / "content").read_text() == "one"
    assert store.models.joinpath("m").stat().st_mtime_ns == before, "the server does not take it for another"
    assert (store.staged("m", B) / "content").read_text() == "two"


def test_once_the_server_is_asked_for_the_new_version_nothing_is_sure(tmp_path: Path) -> None:
    store = opened(tmp_path)
    loaded(store, "m", A, "one")
    put(store, "m", B, "two")
    store.doubt("m")
    assert not store.is_sure("m")
    assert not opened(tmp_path).is_sure("m")
    before = store.kept.joinpath("m").stat().st_mtime_ns
    store.put_back("m", renewed=True)
    assert store.models.joinpath("m").stat().st_mtime_ns > before


def test_a_new_version_is_newer_than_the_old_one_whatever_its_files_say(tmp_path: Path) -> None:
    store = opened(tmp_path)
    folder = store.stage("m", A)
    (folder / "content").write_text("from an archive")
    os.utime(folder / "content", (4e9, 4e9))
    store.swap_in("m", A)
    store.mark("m", SUCCESS, A)
    first = newest(store.models / "m")
    put(store, "m", B, "two")
    assert newest(store.models / "m") > first


def test_a_kept_folder_without_its_marker_is_cleared_away(tmp_path: Path) -> None:
    store = opened(tmp_path)
    loaded(store, "m", A, "one")
    put(store, "m", B, "two")
    store.marker("m", KEPT, A).unlink()
    assert not list(opened(tmp_path).kept.iterdir())


def test_two_markers_prove_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, "m", A, "one")
    store.mark("m", SUCCESS, B)
    assert store.scan() == {"m": OnDisk()}


def test_a_start_clears_staging_and_markers_without_a_folder(tmp_path: Path) -> None:
    store = opened(tmp_path)
    (store.stage("m", A) / "half").write_text("half")
    store.mark("gone", SUCCESS, A)
    (tmp_path / "markers" / ".half").write_text("half")
    (tmp_path / "models" / "lost+found").mkdir()
    store = opened(tmp_path)
    assert not list(store.staging.iterdir())
    assert not list(store.markers.iterdir())
    assert store.scan() == {}
    assert (tmp_path / "models" / "lost+found").exists(), "what is not ours stays"


def test_a_start_keeps_the_word_that_the_pod_was_settled(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert not store.was_settled()
    store.settle()
    assert opened(tmp_path).was_settled()
    assert store.scan() == {}


def test_names_that_begin_alike_are_not_confused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, "m", A, "one")
    put(store, "m-2", B, "two")
    store.delete("m")
    assert store.scan() == {"m-2": OnDisk(B)}


def test_folders_of_others_are_taken_as_they_are(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir(mode=0o2770)
    models.chmod(0o2770)
    put(opened(tmp_path), "m", A, "one")
    assert models.stat().st_mode & 0o7777 == 0o2770
    assert (models / "m").stat().st_gid == models.stat().st_gid


def tried_in_vain(store: Store) -> None:
    put(store, "m", B, "two")
    store.doubt("m")
    store.put_back("m", renewed=True)
    store.confirm("m")


CHANGES: list[Callable[[Store], None]] = [
    lambda store: put(store, "m", B, "two"),
    lambda store: store.delete("m"),
    lambda store: put(store, "m", A, "one"),
    lambda store: store.settle(),
    tried_in_vain,
]


@pytest.mark.parametrize("there", [put, loaded], ids=["new", "loaded"])
@pytest.mark.parametrize("change", CHANGES, ids=["update", "delete", "again", "settle", "back"])
def test_after_a_kill_at_any_step_what_is_marked_is_whole(
    tmp_path: Path, change: Callable[[Store], None], there: Callable[[Store, str, str, str], None]
) -> None:
    whole = {A: "one", B: "two"}
    for step in range(40):
        root = tmp_path / str(step)
        there(opened(root), "m", A, "one")
        files = Fragile(step)
        dying = Store(root, files)
        with suppress(KilledError):
            change(dying)
        store = opened(root)
        for name, found in store.scan().items():
            if found.digest:
                assert (store.models / name / "content").read_text() == whole[found.digest]
                assert (store.models / name / "1" / "weights").exists()
            if found.kept:
                store.put_back(name, renewed=False)
                store.confirm(name)
                assert (store.models / name / "content").read_text() == whole[found.kept]
                assert store.scan()[name].digest == found.kept
        store = opened(root)
        assert not list(store.staging.iterdir())
        if files.left:
            return
    pytest.fail("the change never came to its end")


async def test_an_agent_killed_at_any_step_of_an_update_ends_with_it(pod: Pod) -> None:
    pod.bucket.put("a", "first")
    pod.bucket.put("b", "second")
    for step in range(40):
        pod.config.write(entry("a"))
        pod.store = None
        await pod.start()
        await eventually(lambda: pod.triton.served.get("a") == "first" and pod.states() == {"a": "Loaded"}, limit=30)
        await pod.stop()
        files = Fragile(step + 4)  # the four folders are there
        pod.store = Store(pod.root, files)
        pod.config.write(entry("a", "gs://bucket/models/b"))
        await pod.start()
        await eventually(lambda files=files: files.left == 0 or pod.states() == {"a": "Loaded"}, limit=30)  # type: ignore[misc]
        await pod.stop()
        pod.store = None
        await pod.start()
        await eventually(lambda: pod.triton.served.get("a") == "second" and pod.states() == {"a": "Loaded"}, limit=30)
        await pod.stop()
        assert not pod.triton.torn
        if files.left:
            return
    pytest.fail("the update never came to its end")
