"""Update of a model: the previous version answers until the new one does, and is restored when that fails."""

from collections.abc import Callable

import pytest

from manyserve.agent.volume.store import Store
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.agent.volume.test_store import KillingFileSystem
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


def is_clean(pod: Pod) -> bool:
    return not any([*(pod.root / "staging").iterdir(), *(pod.root / "kept").iterdir()])


async def test_previous_files_are_removed_after_new_version_is_ready(pod: Pod) -> None:
    await serving(pod)
    pod.triton.hanging.add("a")
    pod.config.write(NEW)
    await eventually(lambda: pod.triton.loads("a") == 2)
    assert (pod.root / "kept" / "a" / "content").read_text() == "old"
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await eventually(lambda: pod.triton.served["a"] == "new" and is_clean(pod))
    await pod.shows(a="Loaded")
    assert pod.triton.calls == ["load a", "load a"]


async def test_rollback_restores_previous_version_after_rejected_load(pod: Pod) -> None:
    await serving(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and pod.model("a").serving and on_disk(pod) == "old")
    assert pod.model("a").message == "bad weights"
    assert pod.model("a").digest == NEW.digest
    assert pod.triton.served["a"] == "old"


async def test_rollback_does_not_wait_for_next_poll(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"index_poll_seconds": 60})
    await serving(pod)
    pod.context.state.rescan()
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and pod.model("a").serving)
    assert pod.triton.loads("a") < 50
    del pod.triton.refusing["a"]
    await eventually(lambda: pod.triton.served["a"] == "new" and is_clean(pod))


async def test_rejected_version_is_retried_without_download(pod: Pod) -> None:
    await serving(pod)
    pod.triton.refusing["a"] = "no memory"
    pod.config.write(NEW)
    await eventually(lambda: pod.triton.loads("a") >= 4)
    assert len(pod.bucket.gets) == 4, "two files of two versions"
    del pod.triton.refusing["a"]
    await pod.shows(a="Loaded")
    assert (pod.triton.served["a"], on_disk(pod)) == ("new", "new")
    await eventually(lambda: is_clean(pod))


async def test_rejected_version_repaired_at_source_is_read_again(pod: Pod) -> None:
    await serving(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and on_disk(pod) == "old")
    pod.bucket.put("a2", "repaired")
    del pod.triton.refusing["a"]
    await eventually(lambda: pod.triton.served["a"] == "repaired")
    await pod.shows(a="Loaded")


async def test_abandoned_version_leaves_previous_one_without_reload(pod: Pod) -> None:
    await serving(pod)
    refuse_new(pod)
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    await eventually(lambda: on_disk(pod) == "old" and pod.model("a").serving, "the rollback has ended")
    pod.config.write(OLD)
    await pod.shows(a="Loaded")
    await eventually(lambda: is_clean(pod))
    calls = list(pod.triton.calls)
    await pod.polled()
    assert pod.triton.calls == calls, "a serving version is not loaded again"
    assert (pod.triton.served["a"], on_disk(pod)) == ("old", "old")
    assert len(pod.bucket.gets) == 4


async def test_rollback_restores_previous_version_after_new_one_is_abandoned(pod: Pod) -> None:
    await serving(pod)
    pod.triton.hanging.add("a")
    pod.config.write(NEW)
    await eventually(lambda: pod.triton.loads("a") == 2)
    pod.config.write(OLD)
    await eventually(lambda: pod.context.state.desired["a"].digest == OLD.digest)
    assert on_disk(pod) == "new", "the rollback has not begun"
    refuse_new(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await eventually(lambda: pod.states() == {"a": "Loaded"} and is_clean(pod))
    assert (pod.triton.served["a"], on_disk(pod)) == ("old", "old")
    assert len(pod.bucket.gets) == 4, "the previous version is not downloaded again"


async def test_server_restart_reloads_previous_version_while_new_one_fails(pod: Pod) -> None:
    await serving(pod)
    refuse_new(pod)
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    await pod.server_stops()
    await eventually(lambda: not pod.report.server_ready)
    await pod.server_starts()
    await eventually(lambda: pod.triton.served.get("a") == "old" and pod.model("a").serving)
    assert pod.states() == {"a": "LoadFailed"}
    await eventually(lambda: pod.model("a").message == "bad weights" and pod.model("a").serving)
    allow(pod)
    await eventually(lambda: pod.triton.served.get("a") == "new")
    await pod.shows(a="Loaded")


async def test_server_that_drops_failed_model_gets_previous_version(pod: Pod) -> None:
    await serving(pod)
    refuse_new(pod, lambda: pod.triton.states.update(a=("UNAVAILABLE", "bad weights")))
    pod.config.write(NEW)
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and pod.model("a").serving)
    assert pod.triton.served["a"] == "old"


async def test_failed_download_leaves_previous_version_serving(pod: Pod) -> None:
    await serving(pod)
    pod.config.write(entry("a", "gs://bucket/models/missing"))
    await pod.shows(a="DownloadFailed")
    assert pod.model("a").serving
    assert (pod.triton.served["a"], on_disk(pod)) == ("old", "old")
    assert pod.triton.calls == ["load a"]


async def test_server_restart_reloads_previous_version_while_download_fails(pod: Pod) -> None:
    await serving(pod)
    pod.config.write(entry("a", "gs://bucket/models/missing"))
    await pod.shows(a="DownloadFailed")
    pod.triton.forget()
    await eventually(lambda: pod.triton.served.get("a") == "old" and pod.model("a").serving)
    assert pod.states() == {"a": "DownloadFailed"}


async def test_rollback_after_hanging_load_fails(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"load_seconds": 1.0})
    await serving(pod)
    pod.triton.hanging.add("a")
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    assert on_disk(pod) == "new", "the server may be reading it"
    pod.triton.states["a"] = ("READY", "")
    pod.triton.refusing["a"] = "bad weights"
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and pod.model("a").message == "bad weights")
    pod.triton.forget()
    refuse_new(pod)
    await eventually(lambda: pod.triton.served.get("a") == "old" and pod.model("a").serving and on_disk(pod) == "old")


async def test_rollback_reloads_previous_version_after_unobserved_load(pod: Pod) -> None:
    await serving(pod)
    pod.triton.hanging.add("a")
    pod.config.write(NEW)
    await eventually(lambda: pod.triton.loads("a") == 2)
    await pod.stop()
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await eventually(lambda: pod.triton.served["a"] == "new")
    pod.config.write(OLD)
    await pod.start()
    await eventually(lambda: pod.triton.served["a"] == "old" and pod.states() == {"a": "Loaded"})
    assert on_disk(pod) == "old"


async def test_third_version_replaces_failing_second(pod: Pod) -> None:
    await serving(pod)
    pod.bucket.put("a3", "third")
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    del pod.triton.refusing["a"]
    pod.config.write(entry("a", "gs://bucket/models/a3"))
    await eventually(lambda: pod.triton.served["a"] == "third" and is_clean(pod))
    await pod.shows(a="Loaded")


async def test_removal_of_model_with_failing_version_leaves_nothing(pod: Pod) -> None:
    await serving(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(NEW)
    await pod.shows(a="LoadFailed")
    pod.config.write()
    await eventually(lambda: not list(pod.files()) and is_clean(pod))
    assert not pod.triton.torn


def refuse_new(pod: Pod, then: Callable[[], object] = lambda: None) -> None:
    """Let the server reject the new files and load the old ones."""
    load = type(pod.triton)._load

    async def rejecting(name: str):  # type: ignore[no-untyped-def]
        pod.triton.refusing = {"a": "bad weights"} if on_disk(pod) == "new" else {}
        answer = await load(pod.triton, name)
        if pod.triton.refusing:
            then()
        return answer

    pod.triton._load = rejecting  # type: ignore[method-assign]


def allow(pod: Pod) -> None:
    del pod.triton._load
    pod.triton.refusing = {}


async def test_previous_version_serves_after_kill_at_any_step_of_failing_update(pod: Pod) -> None:
    pod.bucket.put("a", "old")
    pod.bucket.put("a2", "new")
    for step in range(60):
        allow_all(pod)
        pod.config.write(OLD)
        pod.store = None
        await pod.start()
        await eventually(lambda: pod.triton.served.get("a") == "old" and pod.states() == {"a": "Loaded"})
        await pod.stop()
        refuse_new(pod)
        files = KillingFileSystem(step + 4)  # the four folders are there
        pod.store = Store(pod.root, files)
        pod.config.write(NEW)
        await pod.start()
        await eventually(lambda files=files: files.left == 0 or failed_with_old(pod))  # type: ignore[misc]
        await pod.stop()
        pod.store = None
        await pod.start()
        await eventually(lambda: failed_with_old(pod))
        await pod.stop()
        assert not pod.triton.torn
        if files.left:
            return
    pytest.fail("the update did not complete")


def allow_all(pod: Pod) -> None:
    if "_load" in vars(pod.triton):
        allow(pod)


def failed_with_old(pod: Pod) -> bool:
    report = pod.report.models.get("a")
    return bool(
        report
        and report.state == "LoadFailed"
        and report.serving
        and pod.triton.served.get("a") == "old"
        and pod.context.state.disk["a"].digest == OLD.digest
    )


async def test_previous_version_answers_through_twenty_updates(pod: Pod) -> None:
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
        await eventually(lambda number=number: pod.triton.served["a"] == str(number))  # type: ignore[misc]
        await pod.shows(a="Loaded")
        assert pod.triton.states["a"][0] == "READY"
    assert "unload a" not in pod.triton.calls
    assert not pod.triton.torn
