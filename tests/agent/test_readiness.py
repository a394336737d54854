"""Readiness: a new pod waits for models, and a pod that was settled once does not wait for downloads again."""

import asyncio
import time
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from manyserve.agent import readiness
from manyserve.agent.http_api import application
from manyserve.agent.readiness import ReadinessGate, lost_models
from manyserve.agent.reconcile import Observed, OnDisk, ServerModel, ServerState
from manyserve.agent.volume.store import Store
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = DROPPED_STREAMS

LIMIT, SILENCE = 60.0, 60.0
A, B = entry("a"), entry("b")
LOADED = OnDisk(A.digest, loaded=True)


async def serving(pod: Pod, *names: str) -> None:
    """Start the pod; wait until its first models are loaded and the volume has the marker."""
    for name in names:
        pod.bucket.put(name, name)
    pod.config.write(*map(entry, names))
    await pod.start()
    await eventually(lambda: pod.states() == dict.fromkeys(names, "Loaded") and pod.context.store.was_settled())


async def downloading(pod: Pod) -> None:
    """Add the model `slow` with a download that does not end."""
    pod.bucket.put("slow")
    pod.bucket.fault = "hang get"
    pod.config.write(A, entry("slow"))
    await pod.shows(a="Loaded", slow="Downloading")


async def settles(pod: Pod) -> None:
    await eventually(lambda: pod.report.settled, "the pod is settled")


async def ready(pod: Pod) -> bool:
    async with TestClient(TestServer(application(pod.agent, pod.context))) as client:
        return (await client.get("/readyz")).status == 200


async def test_readiness_after_agent_restart_does_not_wait_for_download(pod: Pod) -> None:
    await serving(pod, "a")
    await downloading(pod)
    for _ in range(2):
        await pod.stop()
        await pod.start()
        await settles(pod)
        assert pod.states()["a"] == "Loaded", "the first settled report has the loaded models"
        assert pod.report.server_ready
        assert await ready(pod)
    await pod.shows(a="Loaded", slow="Downloading")
    assert pod.triton.calls == ["load a"]


async def test_readiness_after_early_agent_restart_waits_for_first_models(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.bucket.fault = "hang get"
    pod.config.write(A)
    for _ in range(2):
        await pod.start()
        await eventually(lambda: pod.states() == {"a": "Downloading"} and pod.report.server_ready)
        assert not await ready(pod)
        assert not pod.context.store.was_settled()
        await pod.stop()


async def test_readiness_after_restart_of_both_waits_for_lost_models_only(pod: Pod) -> None:
    await serving(pod, "a")
    await downloading(pod)
    await pod.stop()
    pod.triton.forget()
    pod.triton.hanging.add("a")
    await pod.start()
    await eventually(lambda: pod.triton.loads("a") == 2)
    assert not await ready(pod)
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await settles(pod)
    await pod.shows(a="Loaded", slow="Downloading")
    assert await ready(pod)


async def test_readiness_after_restart_needs_an_answering_server(pod: Pod) -> None:
    await serving(pod, "a")
    await pod.stop()
    await pod.server_stops()
    await pod.start()
    await eventually(lambda: pod.states() == {"a": "Loading"})
    assert not pod.report.settled
    await pod.server_starts()
    await settles(pod)
    assert pod.states() == {"a": "Loaded"}


async def test_readiness_does_not_wait_for_rejected_model_after_restart(pod: Pod) -> None:
    await serving(pod, "a", "b")
    await pod.stop()
    pod.triton.forget()
    pod.triton.refusing["b"] = "no memory"
    await pod.start()
    await settles(pod)
    await pod.shows(a="Loaded", b="LoadFailed")


async def test_readiness_after_restart_does_not_wait_for_hanging_load(pod: Pod) -> None:
    pod.triton.hanging.add("h")
    pod.bucket.put("h")
    await serving(pod, "a")
    pod.config.write(A, entry("h"))
    await eventually(lambda: pod.triton.loads("h") == 1)
    await pod.stop()
    await pod.start()
    await settles(pod)
    await pod.shows(a="Loaded", h="Loading")
    assert pod.triton.loads("h") == 1


async def test_readiness_after_restart_survives_invalid_config(pod: Pod) -> None:
    await serving(pod, "a")
    await pod.stop()
    pod.config.write_text("[")
    await pod.start()
    await settles(pod)
    assert pod.report.config_error
    assert pod.triton.served == {"a": "a"}


async def test_readiness_waits_for_valid_config_when_models_are_lost(pod: Pod) -> None:
    await serving(pod, "a")
    await pod.stop()
    pod.config.write_text("[")
    pod.triton.forget()
    await pod.start()
    await eventually(lambda: pod.report.server_ready and pod.report.config_error)
    assert not pod.report.settled
    pod.config.write(A)
    await settles(pod)
    assert pod.states() == {"a": "Loaded"}


async def test_readiness_of_a_new_pod_waits_for_a_slow_load(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"load_seconds": 60})
    pod.triton.hanging.add("h")
    pod.bucket.put("h")
    pod.bucket.put("a")
    pod.config.write(A, entry("h"))
    await pod.start()
    note = "the model server has not finished the load after 0.1 s"
    await eventually(lambda: pod.states() == {"a": "Loaded", "h": "Loading"} and pod.model("h").message == note)
    assert not pod.report.settled
    pod.triton.release.set()
    await settles(pod)
    assert pod.states() == {"a": "Loaded", "h": "Loaded"}


async def test_readiness_waits_for_download_only_until_the_limit(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"settle_seconds": LIMIT})
    pod.bucket.put("slow")
    pod.bucket.fault = "hang get"
    pod.config.write(entry("slow"))
    await pod.start()
    await eventually(lambda: pod.states() == {"slow": "Downloading"} and pod.report.server_ready)
    assert not pod.report.settled
    pod.context.clock = lambda: time.monotonic() + LIMIT
    await settles(pod)
    assert pod.states() == {"slow": "Downloading"}


async def test_slow_download_releases_its_slot(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"parallel_downloads": 1, "download_slot_seconds": 0.1})
    pod.bucket.put("slow")
    pod.bucket.fault = "hang get"
    pod.config.write(entry("slow"))
    await pod.start()
    await eventually(lambda: pod.bucket.gets)
    pod.bucket.fault = ""
    pod.bucket.put("a")
    pod.config.write(A, entry("slow"))
    await pod.shows(a="Loaded", slow="Downloading")


def test_lost_models_are_desired_and_loaded_and_not_listed() -> None:
    desired = {"a": A, "b": B}
    assert lost_models(desired, Observed(desired, {"a": LOADED}, None)) is None
    assert lost_models(desired, Observed(desired, {"a": LOADED}, {})) == {"a": A}
    assert lost_models(desired, Observed(desired, {"a": OnDisk(A.digest)}, {})) == {}, "it was never loaded"
    assert lost_models(desired, Observed(desired, {"a": OnDisk(B.digest, loaded=True)}, {})) == {}, (
        "other files are desired"
    )
    assert lost_models({"b": B}, Observed(desired, {"a": LOADED}, {})) == {}, "it is not desired any more"


@pytest.mark.parametrize("state", [ServerState.READY, ServerState.LOADING, ServerState.UNAVAILABLE])
def test_lost_models_exclude_listed_models(state: ServerState) -> None:
    observed = Observed({"a": A}, {"a": LOADED}, {"a": ServerModel(state)})
    assert lost_models({"a": A}, observed) == {}
    assert lost_models(None, observed) == {}


async def test_readiness_gate_retries_write_of_marker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(readiness, "_RETRY_SECONDS", 0.01)
    store, gate = Store(tmp_path), ReadinessGate(Store(tmp_path), LIMIT, SILENCE)
    writing = asyncio.create_task(gate.persist())
    await gate.restore()
    assert gate.update({}, Observed({}, {}, {}), 0)
    await eventually(lambda: caplog.text.count("cannot be written") > 2)
    assert not writing.done(), "there is no folder for the marker"
    store.open()
    async with asyncio.timeout(LIMIT):
        await writing
    assert store.was_settled()
