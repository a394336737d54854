"""Reconcile loop of an agent in a fake pod."""

from collections.abc import Callable

import pytest

from manyserve.api.modelconfig import content_hash
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]


async def test_agent_downloads_loads_and_reports_model_with_digest(pod: Pod) -> None:
    await pod.running("a")
    report = pod.report
    assert report.models["a"].digest == entry("a").digest
    assert report.config == content_hash(pod.config.path.read_bytes())
    assert report.settled
    assert report.server_ready
    assert pod.triton.served == {"a": "a"}


async def test_agent_log_has_the_lines_of_the_walkthrough(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await pod.running("cifar10")
    await eventually(lambda: "completion event" in caplog.text)
    digest, uri = entry("cifar10").digest, "gs://bucket/models/cifar10"
    lines = [text for name, _, text in caplog.record_tuples if name == "manyserve.agent" and "cifar10" in text]
    assert lines == [
        "adding model cifar10",
        "Worker is started for cifar10",
        f"Downloading {uri} to model dir /mnt/models",
        f"Successfully copied {uri} to /mnt/models/cifar10",
        f"Creating successFile {pod.root}/markers/cifar10.SUCCESS.{digest}",
        "Successfully loaded model cifar10",
        "completion event for model cifar10, in flight ops 0",
    ]


async def test_agent_settles_with_empty_config(pod: Pod) -> None:
    pod.config.write()
    await pod.start()
    await eventually(lambda: pod.report.settled)


async def test_agent_without_config_waits(pod: Pod) -> None:
    await pod.start()
    await eventually(lambda: pod.report.server_ready)
    assert not pod.report.settled
    assert not pod.report.config_error


async def test_pod_settles_with_failed_model(pod: Pod) -> None:
    pod.bucket.put("good")
    pod.config.write(entry("good"), entry("bad"))
    await pod.start()
    await eventually(lambda: pod.report.settled)
    await pod.shows(good="Loaded", bad="DownloadFailed")
    assert pod.model("bad").permanent
    assert pod.model("bad").message == "gs://bucket/models/bad has no objects"


async def test_agent_loads_model_when_its_files_appear(pod: Pod) -> None:
    pod.config.write(entry("late"))
    await pod.start()
    await pod.shows(late="DownloadFailed")
    pod.bucket.put("late")
    await pod.shows(late="Loaded")


async def test_agent_restart_adopts_loaded_models(pod: Pod) -> None:
    await pod.running("a", "b")
    await pod.stop()
    calls, gets = list(pod.triton.calls), len(pod.bucket.gets)
    await pod.start()
    await pod.shows(a="Loaded", b="Loaded")
    assert pod.report.settled
    assert (pod.triton.calls, len(pod.bucket.gets)) == (calls, gets)


async def test_agent_restart_applies_missed_changes(pod: Pod) -> None:
    await pod.running("a", "b", "c")
    await pod.stop()
    pod.bucket.put("new-b", "new")
    pod.config.write(entry("b", "gs://bucket/models/new-b"), entry("c"))
    await pod.start()
    await pod.shows(b="Loaded", c="Loaded")
    await eventually(lambda: pod.triton.served == {"b": "new", "c": "c"})
    assert pod.triton.loads("c") == 1


async def test_changed_model_is_swapped_without_unload(pod: Pod) -> None:
    await pod.running("a")
    pod.bucket.put("a2", "second")
    pod.config.write(entry("a", "gs://bucket/models/a2"))
    await eventually(lambda: pod.triton.served["a"] == "second")
    await pod.shows(a="Loaded")
    assert pod.triton.calls == ["load a", "load a"]


async def test_previous_version_serves_while_new_version_fails(pod: Pod) -> None:
    await pod.running("a")
    pod.bucket.put("a2", "second")
    pod.triton.refusing["a"] = "bad weights"
    pod.config.write(entry("a", "gs://bucket/models/a2"))
    await pod.shows(a="LoadFailed")
    assert pod.model("a").message == "bad weights"
    assert pod.triton.served["a"] == "a"
    del pod.triton.refusing["a"]
    await pod.shows(a="Loaded")
    assert pod.triton.served["a"] == "second"


async def test_hanging_load_is_not_repeated_and_counts_at_its_end(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"load_seconds": 1.0})
    pod.bucket.put("h")
    pod.triton.hanging.add("h")
    pod.config.write(entry("h"))
    await pod.start()
    await pod.shows(h="LoadFailed")
    await pod.polled()
    assert pod.triton.loads("h") == 1
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await pod.shows(h="Loaded")


async def test_agent_limits_unfinished_loads(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"load_seconds": 1.0})
    names = [f"h{number}" for number in range(9)]
    for name in names:
        pod.bucket.put(name)
    pod.triton.hanging |= set(names)
    pod.config.write(*map(entry, names))
    await pod.start()
    await eventually(lambda: set(pod.states().values()) == {"LoadFailed"})
    assert len(pod.triton.calls) == pod.settings.unfinished_loads
    assert pod.report.settled


async def test_input_29_load_with_false_200_fails(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.triton.lying.add("a")
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="LoadFailed")
    assert "it only said so" in pod.model("a").message


async def test_failed_load_is_retried_with_repaired_files(pod: Pod) -> None:
    pod.bucket.put("a", "broken")
    pod.triton.refusing["a"] = "Traceback:\n" + "at somewhere\n" * 1000 + "https://u:p@host/x?token=secret"
    pod.config.write(entry("a"))
    await pod.start()
    await eventually(lambda: pod.states() == {"a": "LoadFailed"} and pod.triton.loads("a") >= 3)
    assert len(pod.bucket.gets) == 2, "the same files are not downloaded twice"
    assert len(pod.model("a").message) <= 512
    pod.bucket.put("a", "repaired")
    await eventually(lambda: len(pod.bucket.gets) == 4, "a retry that began before has ended")
    del pod.triton.refusing["a"]
    await pod.shows(a="Loaded")
    await eventually(lambda: pod.triton.served["a"] == "repaired")


async def test_config_change_cancels_download(pod: Pod) -> None:
    pod.bucket.put("slow")
    pod.bucket.put("quick", "quick")
    pod.bucket.fault = "hang get"
    pod.config.write(entry("a", "gs://bucket/models/slow"))
    await pod.start()
    await eventually(lambda: pod.bucket.gets)
    pod.bucket.fault = ""
    pod.config.write(entry("a", "gs://bucket/models/quick"))
    await pod.shows(a="Loaded")
    assert pod.triton.served == {"a": "quick"}
    assert not list((pod.root / "staging").iterdir())


async def test_agent_downloads_manually_removed_files_again(pod: Pod) -> None:
    await pod.running("a")
    (pod.root / "models" / "a" / "content").unlink()
    (pod.root / "models" / "a" / "1" / "model.bin").unlink()
    (pod.root / "models" / "a" / "1").rmdir()
    (pod.root / "models" / "a").rmdir()
    await eventually(lambda: len(pod.bucket.gets) == 4)
    await pod.shows(a="Loaded")


async def test_agent_serves_other_models_beside_one_too_large(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod.bucket.put("small")
    pod.bucket.put("large", "x" * 5000)
    usage: Callable[[object], object] = lambda _: type("Usage", (), {"free": 1000})  # noqa: E731
    monkeypatch.setattr("shutil.disk_usage", usage)
    pod.config.write(entry("small"), entry("large"))
    await pod.start()
    await pod.shows(small="Loaded", large="DownloadFailed")
    assert "the volume has 1000 free" in pod.model("large").message


async def test_agent_enforces_file_limit(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"max_files": 1})
    pod.bucket.put("a")
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="DownloadFailed")
    assert pod.model("a").message == "gs://bucket/models/a has more than 1 files and folders"
    assert not pod.bucket.gets


async def test_source_changed_during_download_is_read_again(pod: Pod) -> None:
    pod.bucket.put("a", "old")
    pod.bucket.during = lambda: pod.bucket.objects.update({"models/a/zz": b"new file"})
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="Loaded")
    assert (pod.root / "models/a/zz").read_bytes() == b"new file"
    assert pod.bucket.lists >= 4
