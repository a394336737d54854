"""A new version of a model: the old one answers until the new one does, and comes back when that fails."""

import asyncio
from collections.abc import Callable

import pytest

from manyserve.agent.volume.store import Store
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.agent.test_store import Fragile
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

OLD, NEW = entry("a"), entry("a", "gs://bucket/models/a2")


async def serving(pod: Pod) -> None:
    pod.bucket.put("a", "old")
    pod.bucket.put("a2", "new")
    pod.config.write(OLD)
    await pod.start()
    await pod.shows(a="Loaded")


def on_disk(pod: Pod) -> str:
    content = pod.root / "models" / "a" / "content"
    return content.read_text() if content.exists() else ""


def nothing_left(pod: Pod) -> bool:
    return not any([*(pod.root / "staging").iterdir(), *(pod.root / "kept").iterdir()])


async def test_the_old_files_go_after_the_index_says_ready_for_the_new_ones(pod: Pod) -> None:
    await serving(pod)
    pod.triton.hanging.add("a")
    pod.config.write(NEW)
    await eventually(lambda: pod.triton.loads("a") == 2, limit=30)
    assert (pod.root / "kept" / "a" / "content").read_text() == "old"
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await eventually(lambda: pod.triton.served["a"] == "new" and nothing_left(pod), limit=30)
    await pod.shows(a="Loaded")
    assert pod.triton.calls == ["load a", "load a"]


async def test_a_refused_version_leaves_the_old_one_on_disk_and_serving(pod: Pod) -> None:
    await serving(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await eventually(
        lambda: pod.states() == {"a": "LoadFailed"} and pod.model("a").serving and on_disk(pod) == "old", limit=30
    )
    assert pod.model("a").message == "bad weights"
    assert pod.model("a").digest == NEW.digest
    assert pod.triton.served["a"] == "old"


async def test_nothing_waits_for_the_next_look_at_the_server_or_the_disk(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"index_poll_seconds": 60})
    await serving(pod)
    pod.shop.world.rescan()
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and pod.model("a").serving, limit=5)
    assert pod.triton.loads("a") < 50
    del pod.triton.refusing["a"]
    await eventually(lambda: pod.triton.served["a"] == "new" and nothing_left(pod), limit=5)


async def test_a_refused_version_is_tried_again_without_a_download_and_swapped_once_it_can_be_loaded(pod: Pod) -> None:
    await serving(pod)
    pod.triton.refusing["a"] = "no memory"
    pod.config.write(NEW)
    await eventually(lambda: pod.triton.loads("a") >= 4, limit=30)
    assert len(pod.bucket.gets) == 4, "two files of two versions"
    del pod.triton.refusing["a"]
    await pod.shows(a="Loaded")
    assert (pod.triton.served["a"], on_disk(pod)) == ("new", "new")
    await eventually(lambda: nothing_left(pod), limit=30)


async def test_a_refused_version_that_is_repaired_at_the_source_is_read_again(pod: Pod) -> None:
    await serving(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and on_disk(pod) == "old", limit=30)
    pod.bucket.put("a2", "mended")
    del pod.triton.refusing["a"]
    await eventually(lambda: pod.triton.served["a"] == "mended", limit=30)
    await pod.shows(a="Loaded")


async def test_a_refused_version_that_is_given_up_leaves_the_old_one_without_a_reload(pod: Pod) -> None:
    await serving(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    pod.config.write(OLD)
    await pod.shows(a="Loaded")
    await eventually(lambda: nothing_left(pod), limit=30)
    calls = list(pod.triton.calls)
    await asyncio.sleep(0.2)
    assert pod.triton.calls == calls, "what serves is not loaded again"
    assert (pod.triton.served["a"], on_disk(pod)) == ("old", "old")
    assert len(pod.bucket.gets) == 4


async def test_a_server_that_restarts_gets_the_old_version_while_the_new_one_fails(pod: Pod) -> None:
    await serving(pod)
    refuse_new(pod)
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    await pod.server_stops()
    await eventually(lambda: not pod.agent.board.report.server_ready, limit=30)
    await pod.server_starts()
    await eventually(lambda: pod.triton.served.get("a") == "old" and pod.model("a").serving, limit=30)
    assert pod.states() == {"a": "LoadFailed"}
    await eventually(lambda: pod.model("a").message == "bad weights" and pod.model("a").serving, limit=30)
    allow(pod)
    await eventually(lambda: pod.triton.served.get("a") == "new", limit=30)
    await pod.shows(a="Loaded")


async def test_a_server_that_drops_the_model_when_the_new_version_fails_gets_the_old_one_again(pod: Pod) -> None:
    await serving(pod)
    refuse_new(pod, lambda: pod.triton.states.update(a=("UNAVAILABLE", "bad weights")))
    pod.config.write(NEW)
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and pod.model("a").serving, limit=30)
    assert pod.triton.served["a"] == "old"


async def test_a_download_that_fails_leaves_the_old_version_serving(pod: Pod) -> None:
    await serving(pod)
    pod.config.write(entry("a", "gs://bucket/models/missing"))
    await pod.shows(a="DownloadFailed")
    assert pod.model("a").serving
    assert (pod.triton.served["a"], on_disk(pod)) == ("old", "old")
    assert pod.triton.calls == ["load a"]


async def test_a_server_that_restarts_while_the_download_fails_gets_the_old_version(pod: Pod) -> None:
    await serving(pod)
    pod.config.write(entry("a", "gs://bucket/models/missing"))
    await pod.shows(a="DownloadFailed")
    pod.triton.forget()
    await eventually(lambda: pod.triton.served.get("a") == "old" and pod.model("a").serving, limit=30)
    assert pod.states() == {"a": "DownloadFailed"}


async def test_a_version_whose_load_hangs_and_then_fails_leaves_the_old_one(pod: Pod) -> None:
    await serving(pod)
    pod.triton.hanging.add("a")
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    assert on_disk(pod) == "new", "the server may be reading it"
    pod.triton.states["a"] = ("READY", "")
    pod.triton.refusing["a"] = "bad weights"
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and pod.model("a").message == "bad weights", limit=30)
    pod.triton.forget()
    refuse_new(pod)
    await eventually(
        lambda: pod.triton.served.get("a") == "old" and pod.model("a").serving and on_disk(pod) == "old", limit=30
    )


async def test_after_a_load_that_ended_unseen_the_old_version_is_loaded_again_rather_than_believed(pod: Pod) -> None:
    await serving(pod)
    pod.triton.hanging.add("a")
    pod.config.write(NEW)
    await eventually(lambda: pod.triton.loads("a") == 2, limit=30)
    await pod.stop()
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await eventually(lambda: pod.triton.served["a"] == "new", limit=30)
    pod.config.write(OLD)
    await pod.start()
    await eventually(lambda: pod.triton.served["a"] == "old" and pod.states() == {"a": "Loaded"}, limit=30)
    assert on_disk(pod) == "old"


async def test_a_third_version_while_the_second_fails_ends_with_the_third(pod: Pod) -> None:
    await serving(pod)
    pod.bucket.put("a3", "third")
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    del pod.triton.refusing["a"]
    pod.config.write(entry("a", "gs://bucket/models/a3"))
    await eventually(lambda: pod.triton.served["a"] == "third" and nothing_left(pod), limit=30)
    await pod.shows(a="Loaded")


async def test_a_model_that_goes_while_its_new_version_fails_leaves_nothing(pod: Pod) -> None:
    await serving(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    pod.config.write()
    await eventually(lambda: not list(pod.files()) and nothing_left(pod), limit=30)
    assert not pod.triton.torn


def refuse_new(pod: Pod, then: Callable[[], object] = lambda: None) -> None:
    """From now on the server refuses the new files and takes the old ones."""
    load = type(pod.triton)._load

    async def picky(name: str):  # type: ignore[no-untyped-def]
        pod.triton.refusing = {"a": "bad weights"} if on_disk(pod) == "new" else {}
        answer = await load(pod.triton, name)
        if pod.triton.refusing:
            then()
        return answer

    pod.triton._load = picky  # type: ignore[method-assign]


def allow(pod: Pod) -> None:
    del pod.triton._load
    pod.triton.refusing = {}


async def test_an_agent_killed_at_any_step_of_an_update_that_fails_ends_with_the_old_version_serving(pod: Pod) -> None:
    pod.bucket.put("a", "old")
    pod.bucket.put("a2", "new")
    for step in range(60):
        allow_all(pod)
        pod.config.write(OLD)
        pod.store = None
        await pod.start()
        await eventually(lambda: pod.triton.served.get("a") == "old" and pod.states() == {"a": "Loaded"}, limit=30)
        await pod.stop()
        refuse_new(pod)
        files = Fragile(step + 4)  # the four folders are there
        pod.store = Store(pod.root, files)
        pod.config.write(NEW)
        await pod.start()
        await eventually(lambda files=files: files.left == 0 or failed_with_old(pod), limit=30)  # type: ignore[misc]
        await pod.stop()
        pod.store = None
        await pod.start()
        await eventually(lambda: failed_with_old(pod), limit=30)
        await pod.stop()
        assert not pod.triton.torn
        if files.left:
            return
    pytest.fail("the update never came to its end")


def allow_all(pod: Pod) -> None:
    if "_load" in vars(pod.triton):
        allow(pod)


def failed_with_old(pod: Pod) -> bool:
    told = pod.agent.board.report.models.get("a")
    return bool(
        told
        and told.state == "LoadFailed"
        and told.serving
        and pod.triton.served.get("a") == "old"
        and pod.shop.world.disk["a"].digest == OLD.digest
    )


async def test_the_old_version_answers_all_through_twenty_updates_of_which_every_second_fails(pod: Pod) -> None:
    await serving(pod)
    for number in range(20):
        pod.bucket.put(f"v{number}", f"{number}")
        if number % 2:
            pod.triton.refusing["a"] = "bad weights"
        pod.config.write(entry("a", f"gs://bucket/models/v{number}"))
        if number % 2:
            await pod.shows(a="LoadFailed")
            assert pod.triton.served["a"] == str(number - 1)
            del pod.triton.refusing["a"]
        await eventually(lambda number=number: pod.triton.served["a"] == str(number), limit=30)  # type: ignore[misc]
        await pod.shows(a="Loaded")
        assert pod.triton.states["a"][0] == "READY"
    assert "unload a" not in pod.triton.calls
    assert not pod.triton.torn
