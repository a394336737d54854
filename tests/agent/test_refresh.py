"""Refresh of a URI with new content, and the digest of content."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from manyserve.agent import retry
from manyserve.agent.download.checksums import COMMAND, content_digest, mismatch
from manyserve.agent.retry import NEVER, RetryState, Stage, next_refresh, refresh_interval
from manyserve.api.modelconfig import Entry
from manyserve.backoff import Backoff
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

OFTEN = "99ms"
A = entry("a", refreshInterval=OFTEN)
WRONG = "sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def short_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "SHORTEST_REFRESH", 0.05)


async def refreshed(pod: Pod) -> None:
    pod.bucket.put("a", "first")
    pod.config.write(A)
    await pod.start()
    await pod.shows(a="Loaded")


def has_refresh_error(pod: Pod) -> bool:
    return pod.model("a").message.startswith("no newer files could be read: gs://bucket/models/a may not be read")


def failures(pod: Pod, stage: str, reason: str) -> float:
    count: float = pod.context.metrics.failures.labels(stage, reason)._value.get()
    return count


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600), ("1h30m", 5400), ("11.5s", 11.5), ("1s", 10)])
def test_refresh_interval_is_a_go_duration_of_at_least_ten_seconds(
    text: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "SHORTEST_REFRESH", 10.0)
    refresh_interval.cache_clear()
    assert refresh_interval(text) == seconds


@pytest.mark.parametrize("text", [None, "", "soon", "10", "-1h"])
def test_refresh_interval_invalid_means_never(text: str | None) -> None:
    assert refresh_interval(text) == NEVER


def test_next_refresh_is_one_interval_after_the_last_check() -> None:
    hourly = entry("a", refreshInterval="1h")
    assert next_refresh(hourly, None) == 0
    assert next_refresh(hourly, RetryState(hourly.digest)) == 0
    assert next_refresh(hourly, RetryState(hourly.digest, checked_at=100.0)) == 3700
    assert next_refresh(hourly, RetryState(hourly.digest, Stage.DOWNLOAD, 1, checked_at=100.0)) == 0, (
        "a retry has its own time"
    )
    assert next_refresh(entry("a"), RetryState(hourly.digest, checked_at=100.0)) == NEVER


async def test_refresh_swaps_in_new_content(pod: Pod) -> None:
    await refreshed(pod)
    pod.bucket.put("a", "second")
    await eventually(lambda: pod.triton.served["a"] == "second")
    await pod.shows(a="Loaded")
    assert pod.triton.calls == ["load a", "load a"]


async def test_refresh_without_change_only_lists_the_source(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await refreshed(pod)
    await eventually(lambda: "completion event" in caplog.text)
    caplog.clear()
    revision, lists = pod.report.revision, pod.bucket.lists
    await eventually(lambda: pod.bucket.lists >= lists + 3)
    assert (len(pod.bucket.gets), pod.triton.calls) == (2, ["load a"])
    assert pod.report.revision == revision, "a refresh without a change is not reported"
    assert not [record for record in caplog.records if record.name == "manyserve.agent"]


async def test_model_without_interval_is_not_refreshed(pod: Pod) -> None:
    pod.bucket.put("a", "first")
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="Loaded")
    lists = pod.bucket.lists
    pod.bucket.put("a", "second")
    await pod.polled(6)
    assert pod.bucket.lists == lists


async def test_interval_change_reloads_nothing(pod: Pod) -> None:
    pod.bucket.put("a", "first")
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="Loaded")
    lists = pod.bucket.lists
    pod.config.write(A)
    await eventually(lambda: pod.bucket.lists > lists + 2)
    assert pod.triton.calls == ["load a"]


async def test_failed_refresh_is_reported_and_model_stays_loaded(pod: Pod) -> None:
    await refreshed(pod)
    pod.bucket.fault = "status 403"
    await eventually(lambda: has_refresh_error(pod) and pod.model("a").next_try)
    assert pod.states() == {"a": "Loaded"}
    assert failures(pod, "download", "forbidden") >= 1
    assert pod.triton.calls == ["load a"]
    pod.bucket.fault = ""
    await eventually(lambda: not pod.model("a").message)
    assert pod.model("a").load_seconds is not None


async def test_server_restart_during_failed_refresh_reloads_model_at_once(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    await refreshed(pod)
    monkeypatch.setattr(retry, "BACKOFF_PERMANENT", Backoff(base=60.0, cap=60.0))
    pod.bucket.fault = "status 403"
    await eventually(lambda: has_refresh_error(pod))
    pod.triton.forget()
    await eventually(lambda: pod.triton.served.get("a") == "first")
    await pod.shows(a="Loaded")


async def test_refresh_with_rejected_files_is_reported_and_model_stays_loaded(pod: Pod) -> None:
    await refreshed(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.bucket.put("a", "second")
    states: list[str] = []
    message = "newer files could not be loaded: bad weights"
    await eventually(lambda: states.append(pod.states()["a"]) or pod.model("a").message == message)  # type: ignore[func-returns-value]
    assert set(states) == {"Loaded"}
    assert pod.triton.served["a"] == "first"
    del pod.triton.refusing["a"]
    await eventually(lambda: pod.triton.served["a"] == "second" and not pod.model("a").message)
    await pod.shows(a="Loaded")


async def test_refresh_of_reverted_source_leaves_nothing_in_staging(pod: Pod) -> None:
    await refreshed(pod)
    pod.triton.refusing["a"] = "bad weights"
    pod.bucket.put("a", "second")
    await eventually(lambda: pod.model("a").message and list((pod.root / "staging").iterdir()))
    pod.bucket.put("a", "first")
    await eventually(lambda: not pod.model("a").message and not list((pod.root / "staging").iterdir()))
    assert pod.states() == {"a": "Loaded"}


async def test_agent_restart_refreshes_at_once(pod: Pod) -> None:
    await refreshed(pod)
    await pod.stop()
    pod.bucket.put("a", "second")
    await pod.start()
    await eventually(lambda: pod.triton.served["a"] == "second")


def with_digest(digest: str) -> Entry:
    return entry("a", digest=digest)


def test_content_digest_equals_that_of_standard_tools(tmp_path: Path) -> None:
    for name in ("config.pbtxt", "1/model.onnx", "1/a b.txt", "Z", "ä", "a-b", "a/b", "10/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("Z")
    (tmp_path / "empty").mkdir()
    result = subprocess.run(["bash", "-c", COMMAND], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert asyncio.run(content_digest(tmp_path)) == f"sha256:{result.stdout.split()[0]}"


async def test_content_with_matching_digest_is_loaded(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "same" / "1").mkdir(parents=True)
    (tmp_path / "same" / "content").write_text("first")
    (tmp_path / "same" / "1" / "model.bin").write_text("weights")
    pod.bucket.put("a", "first")
    pod.config.write(with_digest(await content_digest(tmp_path / "same")))
    await pod.start()
    await pod.shows(a="Loaded")


async def test_content_with_wrong_digest_is_rejected_and_downloaded_only_once(pod: Pod) -> None:
    pod.bucket.put("a", "first")
    pod.config.write(with_digest(WRONG))
    await pod.start()
    await eventually(lambda: pod.states() == {"a": "DownloadFailed"} and pod.model("a").attempt >= 3)
    message = pod.model("a").message
    assert message.startswith("gs://bucket/models/a has the content sha256:")
    assert "…, not sha256:000000000000… as asked for; the digest of a folder is: find . -type f" in message
    assert message.endswith("| sha256sum")
    assert pod.model("a").permanent
    assert failures(pod, "download", "digest") >= 2
    assert len(pod.bucket.gets) == 2, "the same content is not downloaded to be refused again"
    assert not pod.triton.calls
    assert len(mismatch("gs://" + "x" * 100, WRONG, WRONG)) < 512


async def test_digest_change_downloads_again_while_previous_version_serves(pod: Pod, tmp_path: Path) -> None:
    pod.bucket.put("a", "first")
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="Loaded")
    pod.config.write(with_digest(WRONG))
    await eventually(lambda: pod.states() == {"a": "DownloadFailed"} and pod.model("a").serving)
    pod.bucket.put("a", "second")
    (tmp_path / "same" / "1").mkdir(parents=True)
    (tmp_path / "same" / "content").write_text("second")
    (tmp_path / "same" / "1" / "model.bin").write_text("weights")
    pod.config.write(with_digest(await content_digest(tmp_path / "same")))
    await eventually(lambda: pod.triton.served["a"] == "second" and pod.states() == {"a": "Loaded"})
    assert pod.triton.calls == ["load a", "load a"]
