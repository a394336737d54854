"""Report of the agent: model states, revisions and waiters."""

import asyncio

import pytest

from manyserve.agent.job import JobProgress
from manyserve.agent.readiness import is_settled
from manyserve.agent.reconcile import ABSENT, Observed, OnDisk, ServerModel, ServerState, Step
from manyserve.agent.report import ReportPublisher, model_report
from manyserve.agent.retry import RetryState, Stage
from manyserve.api.agentreport import AgentReport, ModelState
from tests.agent.support import DROPPED_STREAMS, entry
from tests.support.eventually import LIMIT

pytestmark = DROPPED_STREAMS

A = entry("a")
READY = ServerModel(ServerState.READY)
FAILED = RetryState(A.digest, Stage.DOWNLOAD, 2, "no objects", permanent=True, next_try="soon")


def observed(disk: OnDisk | None = None, server: ServerModel = ABSENT, retry: RetryState | None = None) -> Observed:
    return Observed({"a": A}, {"a": disk} if disk else {}, {"a": server}, {"a": retry} if retry else {})


@pytest.mark.parametrize(
    ("state_of_agent", "step", "state", "attempt"),
    [
        (observed(), None, ModelState.PENDING, 0),
        (observed(), Step.FETCH, ModelState.DOWNLOADING, 1),
        (observed(OnDisk(A.digest)), Step.LOAD, ModelState.LOADING, 1),
        (observed(OnDisk(A.digest, loaded=True), READY), None, ModelState.LOADED, 1),
        (observed(OnDisk(A.digest, loaded=True), ABSENT), None, ModelState.LOADING, 1),
        (observed(OnDisk("b" * 64, loaded=True), READY), Step.FETCH, ModelState.DOWNLOADING, 1),
        (observed(retry=FAILED), None, ModelState.DOWNLOAD_FAILED, 2),
        (observed(retry=FAILED), Step.FETCH, ModelState.DOWNLOAD_FAILED, 3),
    ],
)
def test_model_report_state_follows_from_observed_state(
    state_of_agent: Observed, step: Step | None, state: ModelState, attempt: int
) -> None:
    report = model_report("a", A, state_of_agent, JobProgress(step))
    assert (report.state, report.attempt) == (state, attempt)


@pytest.mark.parametrize(
    ("disk", "server", "retry", "state", "serving"),
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
def test_model_report_serving_means_an_earlier_version_answers(
    disk: OnDisk, server: ServerModel, retry: RetryState | None, state: ModelState, serving: bool
) -> None:
    report = model_report("a", A, observed(disk, server, retry))
    assert (report.state, report.serving) == (state, serving)


def test_model_report_of_loaded_model_has_refresh_error() -> None:
    report = model_report("a", A, observed(OnDisk(A.digest, loaded=True), READY, FAILED))
    assert (report.state, report.message) == (ModelState.LOADED, "no newer files could be read: no objects")
    assert (report.permanent, report.next_try) == (False, "soon")


def test_model_report_has_bytes_of_download() -> None:
    report = model_report("a", A, observed(), JobProgress(Step.FETCH, arrived=5, total=9))
    assert (report.bytes, report.bytes_total) == (5, 9)


def test_model_report_of_failure_has_message_and_next_try() -> None:
    report = model_report("a", A, observed(retry=FAILED))
    assert (report.message, report.permanent, report.next_try) == ("no objects", True, "soon")


def test_is_settled_when_models_are_loaded_failed_or_removed() -> None:
    assert not is_settled({"a": A}, observed())
    assert not is_settled({"a": A}, observed(OnDisk(A.digest)))
    assert is_settled({"a": A}, observed(retry=FAILED))
    assert is_settled({"a": A}, observed(OnDisk(A.digest, loaded=True), READY))
    assert is_settled({"a": A, "b": entry("b")}, observed(retry=FAILED))
    assert is_settled({"a": entry("a", "gs://b/other")}, observed())


async def test_report_publisher_revision_counts_only_changes() -> None:
    publisher = ReportPublisher("agent")
    assert publisher.publish(config="x")
    assert not publisher.publish(config="x", config_error="")
    assert publisher.report.revision == 2
    assert AgentReport.model_validate_json(publisher.body()) == publisher.report


async def test_report_publisher_wakes_waiters_and_stale_callers_do_not_wait() -> None:
    publisher = ReportPublisher("agent")
    waiting = asyncio.create_task(publisher.wait(1, publisher.report.instance, 30))
    await asyncio.sleep(0)
    publisher.publish(settled=True)
    async with asyncio.timeout(LIMIT):  # passes when nothing is raised
        await waiting
        await publisher.wait(1, publisher.report.instance, 30)
        await publisher.wait(2, "another", 30)
        await publisher.wait(None, None, 30)
        await publisher.wait(2, publisher.report.instance, 0.01)
