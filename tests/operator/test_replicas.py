"""What the agents say reaches what is known, and goes when they cannot be reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.api.agentreport import AgentReport
from manyserve.api.names import HOST_LABEL, Key
from manyserve.backoff import Backoff
from manyserve.cluster.state import ClusterState
from manyserve.operator import agent_client
from manyserve.operator.agent_client import PollIntervals
from manyserve.operator.agent_poller import AgentPoller
from tests.support.eventually import eventually

QUICK = PollIntervals(wait=1, pause=0.001, retry=Backoff(base=0.01, cap=0.02), drop_after=0.1)
HOST = Key("default", "triton-mms")


class FakeAgent:
    """Answers as an agent does."""

    def __init__(self) -> None:
        self.report: Any = {"instance": "a", "revision": 1, "serverReady": True}
        self.asked: list[dict[str, str]] = []
        self.changed = asyncio.Event()
        self.broken = False

    def says(self, **fields: Any) -> None:
        self.report = self.report | {"revision": self.report["revision"] + 1} | fields
        self.changed.set()
        self.changed = asyncio.Event()

    async def status(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        if self.broken:
            return web.Response(status=500)
        if request.query.get("after") == str(self.report["revision"]) and "instance" in request.query:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), float(request.query["wait"]))
        return web.json_response(self.report)


def pod(
    uid: str = "u1", *, phase: str = "Running", address: str | None = "127.0.0.1", **metadata: Any
) -> dict[str, Any]:
    labels = {HOST_LABEL: HOST.name}
    return {
        "metadata": {"name": "p", "namespace": HOST.namespace, "uid": uid, "labels": labels} | metadata,
        "status": {"phase": phase, "podIP": address},
    }


class Seen:
    """What the tests look at."""

    def __init__(self, agent: FakeAgent, known: ClusterState, asking: AgentPoller, touched: list[Key]) -> None:
        self.agent, self.known, self.asking, self.touched = agent, known, asking, touched

    @property
    def report(self) -> AgentReport | None:
        return self.known.reports.get("u1")


@pytest.fixture
async def seen() -> AsyncIterator[Seen]:
    async with _seen() as found:
        yield found


@asynccontextmanager
async def _seen() -> AsyncIterator[Seen]:
    agent, touched = FakeAgent(), list[Key]()
    app = web.Application()
    app.router.add_get("/status", agent.status)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.01)
    known = ClusterState(touched.append)
    asking = AgentPoller(known, touched.append, QUICK, port=server.port or 0)
    await asking.open()
    yield Seen(agent, known, asking, touched)
    assert asking.healthy
    await asking.close()
    await server.close()


async def test_a_running_pod_is_asked_and_its_host_touched(seen: Seen) -> None:
    seen.asking.pod_stored(None, pod())
    await eventually(lambda: seen.report)
    assert seen.touched == [HOST]


async def test_an_agent_is_asked_for_what_is_newer_than_what_it_said(seen: Seen) -> None:
    seen.asking.pod_stored(None, pod())
    await eventually(lambda: len(seen.agent.asked) == 2)
    assert seen.agent.asked[1] == {"after": "1", "instance": "a", "wait": "1"}
    seen.agent.says(config="new")
    await eventually(lambda: seen.report and seen.report.config == "new")
    assert seen.touched == [HOST, HOST]


async def test_the_same_report_again_touches_nothing(seen: Seen) -> None:
    seen.asking.pod_stored(None, pod())
    await eventually(lambda: len(seen.agent.asked) == 2)
    seen.agent.changed.set()
    await eventually(lambda: len(seen.agent.asked) > 3)
    assert seen.touched == [HOST]


@pytest.mark.parametrize("trouble", ["an error", "no report", "too much"])
async def test_the_report_of_an_agent_that_answers_nonsense_is_dropped(
    seen: Seen, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.asking.pod_stored(None, pod())
    await eventually(lambda: seen.report)
    if trouble == "an error":
        seen.agent.broken = True
        seen.agent.says()
    elif trouble == "no report":
        seen.agent.says(models="none")
    else:
        monkeypatch.setattr(agent_client, "LARGEST_REPORT", 1000)
        seen.agent.says(config="x" * 2000)
    await eventually(lambda: not seen.report)
    assert seen.touched[-1] == HOST


async def test_an_agent_that_is_away_for_a_moment_keeps_its_report(seen: Seen) -> None:
    seen.asking.pod_stored(None, pod())
    await eventually(lambda: len(seen.agent.asked) == 2)
    seen.agent.broken = True
    seen.agent.says(config="new")
    await eventually(lambda: len(seen.agent.asked) == 4)
    assert seen.report
    seen.agent.broken = False
    await eventually(lambda: seen.report and seen.report.config == "new")


async def test_a_pod_on_its_way_out_is_asked_no_more(seen: Seen) -> None:
    seen.asking.pod_stored(None, pod())
    await eventually(lambda: seen.report)
    seen.asking.pod_stored(pod(), pod(deletionTimestamp="2026-01-01T00:00:00Z"))
    assert seen.report is None


async def test_a_pod_of_the_same_name_is_another_pod(seen: Seen) -> None:
    seen.asking.pod_stored(None, pod())
    await eventually(lambda: seen.report)
    seen.asking.pod_stored(pod(), pod("u2"))
    await eventually(lambda: "u2" in seen.known.reports)
    assert seen.report is None


@pytest.mark.parametrize("waiting", [pod(phase="Pending"), pod(address=None)], ids=["pending", "without an address"])
async def test_a_pod_that_does_not_run_is_not_asked(seen: Seen, waiting: dict[str, Any]) -> None:
    seen.asking.pod_stored(None, waiting)
    seen.asking.pod_stored(waiting, pod())
    await eventually(lambda: seen.report)
    seen.asking.pod_stored(pod(), waiting)
    assert seen.report is None


async def test_planning_waits_until_every_pod_has_answered_or_is_away(seen: Seen) -> None:
    seen.asking.pod_stored(None, pod())
    seen.asking.pod_stored(None, pod("u2", address="127.0.0.2") | {"status": {"phase": "Pending"}})
    await seen.asking.wait_first_reports()
    assert seen.report


async def test_planning_does_not_wait_for_ever_for_an_agent_that_is_broken(seen: Seen) -> None:
    seen.agent.broken = True
    seen.asking.pod_stored(None, pod())
    await asyncio.wait_for(seen.asking.wait_first_reports(), 5)
    assert not seen.report


async def test_a_replica_that_waits_asks_nobody_and_asks_all_when_it_works(seen: Seen) -> None:
    await seen.asking.close()
    seen.known.update_pod(None, pod())
    seen.asking.pod_stored(None, pod())
    assert seen.asking.healthy
    await seen.asking.wait_first_reports()
    assert seen.agent.asked == []
    await seen.asking.open()
    await seen.asking.wait_first_reports()
    assert seen.report


async def test_what_was_said_is_forgotten_by_who_works_no_more_and_asked_for_whole_the_next_time(seen: Seen) -> None:
    seen.known.update_pod(None, pod())
    seen.asking.pod_stored(None, pod())
    await eventually(lambda: seen.report)
    await seen.asking.close()
    assert seen.report is None
    seen.agent.asked.clear()
    await seen.asking.open()
    await eventually(lambda: seen.report)
    assert seen.agent.asked[0] == {}
