"""Readiness across restarts: a pod that was settled once does not wait for downloads again."""

import asyncio
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from manyserve.agent import readiness
from manyserve.agent.http_api import application
from manyserve.agent.readiness import ReadinessGate, lost
from manyserve.agent.reconcile import Observed, OnDisk, ServerModel, ServerState
from manyserve.agent.volume.store import Store
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = DROPPED_STREAMS

SOON = 2.0
A, B = entry("a"), entry("b")
TAKEN = OnDisk(A.digest, loaded=True)


async def serving(pod: Pod, *names: str) -> None:
    """Bring the pod to where its first models are loaded and the volume knows it."""
    for name in names:
        pod.bucket.put(name, name)
    pod.config.write(*map(entry, names))
    await pod.start()
    await eventually(lambda: pod.states() == dict.fromkeys(names, "Loaded") and pod.shop.store.was_settled(), limit=30)


async def downloading(pod: Pod) -> None:
    """Want `a` and `slow`, whose download does not end."""
    pod.bucket.put("slow")
    pod.bucket.fault = "hang get"
    pod.config.write(A, entry("slow"))
    await pod.shows(a="Loaded", slow="Downloading")


async def settles(pod: Pod, limit: float = SOON) -> None:
    await eventually(lambda: pod.agent.board.report.settled, limit=limit)


async def ready(pod: Pod) -> bool:
    async with TestClient(TestServer(application(pod.agent, pod.shop))) as client:
        return (await client.get("/readyz")).status == 200


async def test_an_agent_restarted_in_the_middle_of_anothers_download_is_ready_again_without_waiting(pod: Pod) -> None:
    await serving(pod, "a")
    await downloading(pod)
    for _ in range(2):
        await pod.stop()
        await pod.start()
        await settles(pod)
        assert pod.states()["a"] == "Loaded", "the first report that says settled knows what is loaded"
        assert pod.agent.board.report.server_ready
        assert await ready(pod)
    await pod.shows(a="Loaded", slow="Downloading")
    assert pod.triton.calls == ["load a"]


async def test_an_agent_killed_before_the_first_models_are_there_waits_for_them_again(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.bucket.fault = "hang get"
    pod.config.write(A)
    for _ in range(2):
        await pod.start()
        await eventually(lambda: pod.states() == {"a": "Downloading"} and pod.agent.board.report.server_ready, limit=30)
        assert not await ready(pod)
        assert not pod.shop.store.was_settled()
        await pod.stop()


async def test_when_the_server_was_restarted_too_what_it_had_is_waited_for_and_no_download(pod: Pod) -> None:
    await serving(pod, "a")
    await downloading(pod)
    await pod.stop()
    pod.triton.forget()
    pod.triton.hanging.add("a")
    await pod.start()
    await eventually(lambda: pod.triton.loads("a") == 2, limit=30)
    assert not await ready(pod)
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await settles(pod)
    await pod.shows(a="Loaded", slow="Downloading")
    assert await ready(pod)


async def test_a_pod_whose_server_does_not_answer_yet_is_not_settled_by_its_past(pod: Pod) -> None:
    await serving(pod, "a")
    await pod.stop()
    await pod.server_stops()
    await pod.start()
    await eventually(lambda: pod.states() == {"a": "Loading"}, limit=30)
    assert not pod.agent.board.report.settled
    await pod.server_starts()
    await settles(pod)
    assert pod.states() == {"a": "Loaded"}


async def test_a_model_that_a_restarted_server_refuses_keeps_nobody_waiting(pod: Pod) -> None:
    await serving(pod, "a", "b")
    await pod.stop()
    pod.triton.forget()
    pod.triton.refusing["b"] = "no memory"
    await pod.start()
    await settles(pod)
    await pod.shows(a="Loaded", b="LoadFailed")


async def test_a_load_that_hangs_across_the_restart_of_the_agent_does_not_take_the_pod_out(pod: Pod) -> None:
    pod.triton.hanging.add("h")
    pod.bucket.put("h")
    await serving(pod, "a")
    pod.config.write(A, entry("h"))
    await eventually(lambda: pod.triton.loads("h") == 1, limit=30)
    await pod.stop()
    await pod.start()
    await settles(pod)
    await pod.shows(a="Loaded", h="Loading")
    assert pod.triton.loads("h") == 1


async def test_a_config_that_cannot_be_read_at_the_restart_of_the_agent_leaves_the_pod_ready(pod: Pod) -> None:
    await serving(pod, "a")
    await pod.stop()
    pod.config.write_text("[")
    await pod.start()
    await settles(pod)
    assert pod.agent.board.report.config_error
    assert pod.triton.served == {"a": "a"}


async def test_without_a_config_nobody_can_bring_back_what_the_server_lost(pod: Pod) -> None:
    await serving(pod, "a")
    await pod.stop()
    pod.config.write_text("[")
    pod.triton.forget()
    await pod.start()
    await eventually(lambda: pod.agent.board.report.server_ready and pod.agent.board.report.config_error, limit=30)
    assert not pod.agent.board.report.settled
    pod.config.write(A)
    await settles(pod)
    assert pod.states() == {"a": "Loaded"}


async def test_a_hanging_load_holds_no_pod_up_longer_than_its_slot_and_is_reported(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"load_seconds": 60})
    pod.triton.hanging.add("h")
    pod.bucket.put("h")
    pod.bucket.put("a")
    pod.config.write(A, entry("h"))
    await pod.start()
    await settles(pod)
    await pod.shows(a="Loaded", h="Loading")
    assert pod.model("h").message == "the model server has not finished the load after 0.1 s"


async def test_a_huge_download_holds_no_pod_up_longer_than_the_limit(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"settle_seconds": 1.0})
    pod.bucket.put("slow")
    pod.bucket.fault = "hang get"
    pod.config.write(entry("slow"))
    await pod.start()
    await eventually(lambda: pod.states() == {"slow": "Downloading"} and pod.agent.board.report.server_ready, limit=30)
    assert not pod.agent.board.report.settled
    await settles(pod, 5)
    assert pod.states() == {"slow": "Downloading"}


async def test_downloads_that_take_long_leave_their_places_to_the_others(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"parallel_downloads": 1, "download_slot_seconds": 0.1})
    pod.bucket.put("slow")
    pod.bucket.fault = "hang get"
    pod.config.write(entry("slow"))
    await pod.start()
    await eventually(lambda: pod.bucket.gets, limit=30)
    pod.bucket.fault = ""
    pod.bucket.put("a")
    pod.config.write(A, entry("slow"))
    await pod.shows(a="Loaded", slow="Downloading")


def test_the_limit_counts_from_the_first_answer_of_the_server(tmp_path: Path) -> None:
    way, wanted = ReadinessGate(Store(tmp_path), 60), {"a": A}
    assert not way.is_over(wanted, Observed(wanted, {}, None), 0)
    assert not way.is_over(wanted, Observed(wanted, {}, None), 1000), "a pod whose server never answered is not settled"
    assert not way.is_over(wanted, Observed(wanted, {}, {}), 1001)
    assert not way.is_over(wanted, Observed(wanted, {}, {}), 1060)
    assert way.is_over(wanted, Observed(wanted, {}, {}), 1061)


def test_lost_is_what_is_wanted_and_was_taken_and_is_not_listed() -> None:
    wanted = {"a": A, "b": B}
    assert lost(wanted, Observed(wanted, {"a": TAKEN}, None)) is None
    assert lost(wanted, Observed(wanted, {"a": TAKEN}, {})) == {"a": A}
    assert lost(wanted, Observed(wanted, {"a": OnDisk(A.digest)}, {})) == {}, "it was never loaded"
    assert lost(wanted, Observed(wanted, {"a": OnDisk(B.digest, loaded=True)}, {})) == {}, "other files are wanted now"
    assert lost({"b": B}, Observed(wanted, {"a": TAKEN}, {})) == {}, "it is not wanted any more"


@pytest.mark.parametrize("state", [ServerState.READY, ServerState.LOADING, ServerState.UNAVAILABLE])
def test_what_the_server_lists_is_not_lost(state: ServerState) -> None:
    seen = Observed({"a": A}, {"a": TAKEN}, {"a": ServerModel(state)})
    assert lost({"a": A}, seen) == {}
    assert lost(None, seen) == {}


async def test_the_marker_is_written_however_often_the_volume_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_AGAIN_SECONDS", 0.01)
    store, way = Store(tmp_path), ReadinessGate(Store(tmp_path), 60)
    writing = asyncio.create_task(way.write_down())
    await way.open()
    assert way.is_over({}, Observed({}, {}, {}), 0)
    await asyncio.sleep(0.05)
    assert not writing.done(), "there is no folder to write to"
    store.open()
    async with asyncio.timeout(10):
        await writing
    assert store.was_settled()
