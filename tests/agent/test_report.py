"""What the agent tells: states, the board and its waiters, the HTTP answers."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from manyserve.agent.http_api import application
from manyserve.agent.job import JobProgress
from manyserve.agent.readiness import is_settled
from manyserve.agent.reconcile import ABSENT, Observed, OnDisk, ServerModel, ServerState, Step
from manyserve.agent.report import ReportPublisher, model_report
from manyserve.agent.retry import RetryState, Stage
from manyserve.api.agentreport import AgentReport, ModelState
from manyserve.version import version
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = DROPPED_STREAMS

A = entry("a")
READY = ServerModel(ServerState.READY)
FAILED = RetryState(A.digest, Stage.DOWNLOAD, 2, "no objects", permanent=True, next_try="soon")


def seen(disk: OnDisk | None = None, server: ServerModel = ABSENT, memory: RetryState | None = None) -> Observed:
    return Observed({"a": A}, {"a": disk} if disk else {}, {"a": server}, {"a": memory} if memory else {})


@pytest.mark.parametrize(
    ("world", "stage", "state", "attempt"),
    [
        (seen(), None, ModelState.PENDING, 0),
        (seen(), Step.FETCH, ModelState.DOWNLOADING, 1),
        (seen(OnDisk(A.digest)), Step.LOAD, ModelState.LOADING, 1),
        (seen(OnDisk(A.digest, loaded=True), READY), None, ModelState.LOADED, 1),
        (seen(OnDisk(A.digest, loaded=True), ABSENT), None, ModelState.LOADING, 1),
        (seen(OnDisk("b" * 64, loaded=True), READY), Step.FETCH, ModelState.DOWNLOADING, 1),
        (seen(memory=FAILED), None, ModelState.DOWNLOAD_FAILED, 2),
        (seen(memory=FAILED), Step.FETCH, ModelState.DOWNLOAD_FAILED, 3),
    ],
)
def test_a_state_follows_from_what_is_seen(
    world: Observed, stage: Step | None, state: ModelState, attempt: int
) -> None:
    report = model_report("a", A, world, JobProgress(stage))
    assert (report.state, report.attempt) == (state, attempt)


@pytest.mark.parametrize(
    ("disk", "server", "memory", "state", "serving"),
    [
        (OnDisk("b" * 64, loaded=True), READY, None, ModelState.PENDING, True),
        (OnDisk("b" * 64, loaded=True), READY, FAILED, ModelState.DOWNLOAD_FAILED, True),
        (OnDisk("b" * 64, loaded=True), ABSENT, FAILED, ModelState.DOWNLOAD_FAILED, False),
        (OnDisk("b" * 64), READY, FAILED, ModelState.DOWNLOAD_FAILED, False),
        (OnDisk(A.digest, kept="b" * 64), READY, None, ModelState.LOADING, True),
        (OnDisk(A.digest, kept=A.digest), READY, None, ModelState.LOADED, False),
        (OnDisk(A.digest, loaded=True), READY, None, ModelState.LOADED, False),
    ],
)
def test_serving_tells_that_an_earlier_version_answers(
    disk: OnDisk, server: ServerModel, memory: RetryState | None, state: ModelState, serving: bool
) -> None:
    report = model_report("a", A, seen(disk, server, memory))
    assert (report.state, report.serving) == (state, serving)


def test_a_failed_look_for_newer_files_is_told_of_a_loaded_model() -> None:
    report = model_report("a", A, seen(OnDisk(A.digest, loaded=True), READY, FAILED))
    assert (report.state, report.message) == (ModelState.LOADED, "no newer files could be read: no objects")
    assert (report.permanent, report.next_try) == (False, "soon")


def test_a_download_tells_its_bytes() -> None:
    report = model_report("a", A, seen(), JobProgress(Step.FETCH, arrived=5, total=9))
    assert (report.bytes, report.bytes_total) == (5, 9)


def test_a_model_that_loads_for_long_keeps_no_pod_from_settling() -> None:
    assert not is_settled({"a": A}, seen(OnDisk(A.digest)))
    assert is_settled({"a": A}, seen(OnDisk(A.digest)), {"a"})
    assert not is_settled({"a": A, "b": A}, seen(OnDisk(A.digest)), {"b"})


def test_a_failure_says_why_and_when_it_is_tried_again() -> None:
    report = model_report("a", A, seen(memory=FAILED))
    assert (report.message, report.permanent, report.next_try) == ("no objects", True, "soon")


def test_the_first_models_are_settled_when_loaded_failed_or_wanted_no_more() -> None:
    assert not is_settled({"a": A}, seen())
    assert is_settled({"a": A}, seen(memory=FAILED))
    assert is_settled({"a": A}, seen(OnDisk(A.digest, loaded=True), READY))
    assert is_settled({"a": A, "b": entry("b")}, seen(memory=FAILED))
    assert is_settled({"a": entry("a", "gs://b/other")}, seen())


async def test_the_board_counts_changes_and_only_those() -> None:
    board = ReportPublisher()
    assert board.post(config="x")
    assert not board.post(config="x", config_error="")
    assert board.report.revision == 2
    assert AgentReport.model_validate_json(board.body()) == board.report


async def test_who_waits_is_told_at_once_and_who_is_behind_does_not_wait() -> None:
    board = ReportPublisher()
    waiting = asyncio.create_task(board.wait(1, board.report.instance, 30))
    await asyncio.sleep(0)
    board.post(settled=True)
    async with asyncio.timeout(10):  # passes when nothing is raised
        await waiting
        await board.wait(1, board.report.instance, 30)
        await board.wait(2, "another", 30)
        await board.wait(None, None, 30)
        await board.wait(2, board.report.instance, 0.01)


@pytest.fixture
async def client(pod: Pod) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    await pod.start()
    async with TestClient(TestServer(application(pod.agent, pod.shop))) as client:
        yield client


async def test_the_pod_is_ready_when_the_first_models_are_settled_and_the_server_answers(
    pod: Pod,
    client: TestClient,  # type: ignore[type-arg]
) -> None:
    await eventually(lambda: pod.agent.board.report.server_ready, limit=30)
    answer = await client.get("/readyz")
    assert (answer.status, await answer.text()) == (503, "there is no models.json yet\n")
    pod.config.write()
    await eventually(lambda: pod.agent.board.report.settled, limit=30)
    assert (await client.get("/readyz")).status == 200
    await pod.server_stops()
    await eventually(lambda: not pod.agent.board.report.server_ready, limit=30)
    answer = await client.get("/readyz")
    assert (answer.status, await answer.text()) == (503, "the model server does not answer\n")


async def test_status_answers_a_long_poll_with_the_change(pod: Pod, client: TestClient) -> None:  # type: ignore[type-arg]
    await eventually(lambda: pod.agent.board.report.server_ready, limit=30)
    first = AgentReport.from_wire(await (await client.get("/status")).json())
    query = {"after": str(first.revision), "instance": first.instance, "wait": "20"}
    poll = asyncio.create_task(client.get("/status", params=query))
    pod.config.write()
    async with asyncio.timeout(10):
        second = AgentReport.from_wire(await (await poll).json())
    assert second.revision > first.revision
    assert second.instance == first.instance


async def test_status_refuses_what_is_not_a_number(client: TestClient) -> None:  # type: ignore[type-arg]
    for query in ("after=x", "wait=long"):
        assert (await client.get(f"/status?{query}")).status == 400


async def test_the_agent_is_alive_while_its_loop_turns(pod: Pod, client: TestClient) -> None:  # type: ignore[type-arg]
    assert (await client.get("/healthz")).status == 200
    await pod.stop()
    pod.agent.beat -= 61
    answer = await client.get("/healthz")
    assert answer.status == 503
    assert "has not turned" in await answer.text()


async def test_metrics_count_models_failures_and_bytes(pod: Pod, client: TestClient) -> None:  # type: ignore[type-arg]
    pod.bucket.put("a", "12345")
    pod.config.write(entry("a"), entry("missing"))
    await pod.shows(a="Loaded", missing="DownloadFailed")
    text = await (await client.get("/metrics")).text()
    assert 'manyserve_agent_models{state="Loaded"} 1.0' in text
    assert 'manyserve_agent_failures_total{reason="not_found",stage="download"} ' in text
    assert "manyserve_agent_download_bytes_total 12.0" in text
    assert "manyserve_agent_load_duration_seconds_count 1.0" in text
    assert "manyserve_agent_download_duration_seconds_count 1.0" in text
    assert 'manyserve_agent_models{state="LoadFailed"} 0.0' in text
    assert "manyserve_agent_event_loop_lag_seconds " in text
    assert f'manyserve_build_info{{version="{version()}"}} 1.0' in text


async def test_metrics_tell_since_when_the_config_is_in_force(pod: Pod, client: TestClient) -> None:  # type: ignore[type-arg]
    pod.shop.wall = lambda: 1000.0
    pod.config.write()
    await eventually(lambda: pod.agent.board.report.config, limit=30)
    pod.shop.wall = lambda: 2000.0
    pod.config.write_text("[")
    await eventually(lambda: pod.agent.board.report.config_error, limit=30)
    text = await (await client.get("/metrics")).text()
    assert "manyserve_agent_config_timestamp_seconds 1000.0" in text
    assert "manyserve_agent_config_error 1.0" in text
