"""Agent poller: reports reach the cluster state, and are dropped when an agent is unreachable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.api import names
from manyserve.api.agentreport import AgentReport
from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster.state import ClusterState
from manyserve.operator import agent_client, agent_poller
from manyserve.operator.agent_client import BYTES_PER_MODEL, SMALL_REPORT
from manyserve.operator.agent_poller import AgentPoller
from manyserve.operator.poll_client import PARSE_FACTOR, Polled, PollIntervals
from tests.support import make, replicas
from tests.support.eventually import LIMIT, eventually

QUICK = PollIntervals(wait=1, pause=0.001, retry=Backoff(base=0.01, cap=0.02), drop_after=0.1)
HOST = Key("default", "triton-mms")


class FakeAgent:
    """Agent with a report that tests set."""

    def __init__(self) -> None:
        self.report: Any = {"instance": "a", "revision": 1, "serverReady": True}
        self.polls: list[dict[str, str]] = []
        self.changed = asyncio.Event()
        self.broken = False

    def set_report(self, **fields: Any) -> None:
        self.report = self.report | {"revision": self.report["revision"] + 1} | fields
        self.changed.set()
        self.changed = asyncio.Event()

    async def status(self, request: web.Request) -> web.Response:
        self.polls.append(dict(request.query))
        if self.broken:
            return web.Response(status=500)
        if request.query.get("after") == str(self.report["revision"]) and "instance" in request.query:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), float(request.query["wait"]))
        return web.json_response(self.report)


def child(kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": HOST.name, "namespace": HOST.namespace, "labels": names.labels(HOST.name)},
    }


def pod(
    uid: str = "u1", *, phase: str = "Running", address: str | None = "127.0.0.1", **metadata: Any
) -> dict[str, Any]:
    own = {"labels": replicas.pod_labels(), "ownerReferences": replicas.pod_owners()}
    return {
        "metadata": {"name": "p", "namespace": HOST.namespace, "uid": uid} | own | metadata,
        "status": {"phase": phase, "podIP": address},
    }


class PollerEnv:
    """A poller with its agent, cluster state and enqueued hosts."""

    def __init__(self, agent: FakeAgent, state: ClusterState, poller: AgentPoller, enqueued: list[Key]) -> None:
        self.agent, self.state, self.poller, self.enqueued = agent, state, poller, enqueued

    def add(self, pod: dict[str, Any]) -> None:
        """Add a pod to the cluster state, which lets the poller poll it."""
        self.state.update_pod(None, pod)

    def last_hold(self) -> str | None:
        """Return the hold in the last poll."""
        return self.agent.polls[-1].get("hold") if self.agent.polls else None

    @property
    def report(self) -> AgentReport | None:
        return self.state.reports.get("u1")


@pytest.fixture
async def env() -> AsyncIterator[PollerEnv]:
    async with poller_env() as created:
        yield created


@asynccontextmanager
async def poller_env() -> AsyncIterator[PollerEnv]:
    agent, enqueued = FakeAgent(), list[Key]()
    app = web.Application()
    app.router.add_get("/status", agent.status)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.01)
    state = ClusterState(enqueued.append)
    state.config = make.config(rollout={"modelTimeout": "10m"})
    state.update_host(None, make.host_object())
    state.update_model(None, make.model_object("a"))
    replicas.add_chain(state)
    for kind in ("Service", "Ingress"):
        state.update_child(None, child(kind))
    poller = AgentPoller(state, enqueued.append, QUICK, port=server.port or 0)
    state.on_replicas = poller.update_host
    await poller.open()
    yield PollerEnv(agent, state, poller, enqueued)
    assert poller.healthy
    await poller.close()
    await server.close()


async def test_poller_polls_a_running_pod_and_enqueues_its_host(env: PollerEnv) -> None:
    env.state.update_pod(None, pod())
    await eventually(lambda: env.report)
    assert env.enqueued == [HOST]


async def test_poller_asks_for_reports_newer_than_the_last_one(env: PollerEnv) -> None:
    env.state.update_pod(None, pod())
    await eventually(lambda: len(env.agent.polls) == 2)
    assert env.agent.polls[1] == {"after": "1", "instance": "a", "wait": "1", "hold": "0"}
    env.agent.set_report(config="new")
    await eventually(lambda: env.report and env.report.config == "new")
    assert env.enqueued == [HOST, HOST]


@pytest.mark.parametrize("owners", [[], replicas.controlled_by("ReplicaSet", "uid-of-another")], ids=["bare", "other"])
async def test_poller_polls_no_pod_that_only_has_the_labels(env: PollerEnv, owners: list[dict[str, Any]]) -> None:
    env.add(pod("u3", name="claims", ownerReferences=owners))
    env.add(pod())
    await eventually(lambda: env.report)
    assert set(env.poller._tasks) == {"u1"}


async def test_poller_follows_the_deployment_of_a_pod(env: PollerEnv) -> None:
    env.add(pod())
    await eventually(lambda: env.report)
    env.state.update_child(replicas.deployment(), None)
    assert env.report is None
    env.state.update_child(None, replicas.deployment())
    await eventually(lambda: env.report)


async def test_poller_keeps_no_model_that_nobody_asked_about(env: PollerEnv) -> None:
    forged = {f"x{number}": {"state": "Loaded", "digest": "x"} for number in range(100)}
    env.agent.set_report(models=models("Loaded") | forged)
    env.add(pod())
    await eventually(lambda: env.report)
    assert env.report is not None
    assert list(env.report.models) == ["a"]
    env.state.update_model(None, make.model_object("x1"))
    await eventually(lambda: env.report and "x1" in env.report.models)


async def test_poller_keeps_a_model_that_is_created_during_the_poll(env: PollerEnv) -> None:
    env.add(pod())
    await eventually(lambda: len(env.agent.polls) == 2)
    polls = len(env.agent.polls)
    env.state.update_model(None, make.model_object("b"))
    env.agent.set_report(models=models("Loaded") | {"b": {"state": "Loaded", "digest": "x"}})
    await eventually(lambda: env.report and env.report.models)
    assert env.report is not None
    assert "b" in env.report.models
    assert len(env.agent.polls) <= polls + 1, "the response to the open poll has it"


async def test_poller_reads_no_response_out_of_proportion_to_the_models(env: PollerEnv) -> None:
    env.agent.set_report(config="x" * (SMALL_REPORT + 2 * BYTES_PER_MODEL))
    env.add(pod())
    await eventually(lambda: len(env.agent.polls) > 1)
    assert env.report is None


async def test_poller_polls_a_costly_report_seldom(env: PollerEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    polls: list[str] = []

    async def costly(_: Any, url: str, *__: Any, **___: Any) -> Polled[AgentReport]:
        polls.append(url)
        return Polled(report_of("Loaded"), b"", seconds=LIMIT)

    monkeypatch.setattr(agent_poller, "poll", costly)
    env.add(pod())
    await eventually(lambda: env.report)
    env.add(pod("u3", name="second"))
    await eventually(lambda: "u3" in env.state.reports)
    assert len(polls) == 2, f"the next poll is due in {PARSE_FACTOR} times the cost"


async def test_poller_enqueues_nothing_for_the_same_report(env: PollerEnv) -> None:
    env.state.update_pod(None, pod())
    await eventually(lambda: len(env.agent.polls) == 2)
    env.agent.changed.set()
    await eventually(lambda: len(env.agent.polls) > 3)
    assert env.enqueued == [HOST]


@pytest.mark.parametrize("fault", ["an error", "no report", "too much"])
async def test_poller_drops_the_report_after_a_malformed_response(
    env: PollerEnv, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.state.update_pod(None, pod())
    await eventually(lambda: env.report)
    if fault == "an error":
        env.agent.broken = True
        env.agent.set_report()
    elif fault == "no report":
        env.agent.set_report(models="none")
    else:
        monkeypatch.setattr(agent_client, "LARGEST_REPORT", 1000)
        env.agent.set_report(config="x" * 2000)
    await eventually(lambda: not env.report)
    assert env.enqueued[-1] == HOST


async def test_poller_keeps_the_report_during_a_short_outage(env: PollerEnv) -> None:
    env.state.update_pod(None, pod())
    await eventually(lambda: len(env.agent.polls) == 2)
    env.agent.broken = True
    env.agent.set_report(config="new")
    await eventually(lambda: len(env.agent.polls) == 4)
    assert env.report
    env.agent.broken = False
    await eventually(lambda: env.report and env.report.config == "new")


async def test_poller_stops_for_a_pod_in_deletion(env: PollerEnv) -> None:
    env.state.update_pod(None, pod())
    await eventually(lambda: env.report)
    env.state.update_pod(pod(), pod(deletionTimestamp="2026-01-01T00:00:00Z"))
    assert env.report is None


async def test_poller_distinguishes_pods_of_one_name_by_uid(env: PollerEnv) -> None:
    env.state.update_pod(None, pod())
    await eventually(lambda: env.report)
    env.state.update_pod(pod(), pod("u2"))
    await eventually(lambda: "u2" in env.state.reports)
    assert env.report is None


@pytest.mark.parametrize("waiting", [pod(phase="Pending"), pod(address=None)], ids=["pending", "without an address"])
async def test_poller_skips_a_pod_that_does_not_run(env: PollerEnv, waiting: dict[str, Any]) -> None:
    env.state.update_pod(None, waiting)
    env.state.update_pod(waiting, pod())
    await eventually(lambda: env.report)
    env.state.update_pod(pod(), waiting)
    assert env.report is None


async def test_poller_waits_for_the_first_report_of_every_pod(env: PollerEnv) -> None:
    env.state.update_pod(None, pod())
    env.state.update_pod(None, pod("u2", name="pending") | {"status": {"phase": "Pending"}})
    await env.poller.wait_first_reports()
    assert env.report


async def test_poller_wait_for_first_reports_is_bounded(env: PollerEnv) -> None:
    env.agent.broken = True
    env.state.update_pod(None, pod())
    await asyncio.wait_for(env.poller.wait_first_reports(), LIMIT)
    assert not env.report


async def test_poller_of_a_standby_polls_nothing_until_it_leads(env: PollerEnv) -> None:
    await env.poller.close()
    env.add(pod())
    assert env.poller.healthy
    await env.poller.wait_first_reports()
    assert env.agent.polls == []
    await env.poller.open()
    await env.poller.wait_first_reports()
    assert env.report


async def test_poller_forgets_reports_at_close_and_reads_them_whole_again(env: PollerEnv) -> None:
    env.add(pod())
    await eventually(lambda: env.report)
    await env.poller.close()
    assert env.report is None
    env.agent.polls.clear()
    await env.poller.open()
    await eventually(lambda: env.report)
    assert env.agent.polls[0] == {"hold": "0"}, "without a revision"


async def test_poller_starts_no_poll_while_it_closes(env: PollerEnv) -> None:
    env.add(pod())
    await eventually(lambda: env.report)
    closing = asyncio.create_task(env.poller.close())
    await asyncio.sleep(0)  # it waits for the end of its polls
    assert not closing.done()
    env.add(pod("u2", name="new"))
    await closing
    assert not [each.get_name() for each in asyncio.all_tasks() if each.get_name() == "agent of u2"]


def other_pod(*, ready: bool = True) -> dict[str, Any]:
    """Return another pod of the host, which the poller does not poll: it has no address."""
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return pod("u2", name="other") | {"status": {"phase": "Running", "conditions": conditions}}


def models(state: str) -> dict[str, dict[str, str]]:
    return {"a": {"state": state, "digest": "x"}}


def report_of(state: str, **fields: Any) -> AgentReport:
    return AgentReport.from_wire(
        {"instance": "b", "revision": 1, "serverReady": True, "models": models(state)} | fields
    )


async def test_poller_lets_a_pod_without_others_be_ready_with_the_first_poll(env: PollerEnv) -> None:
    env.add(pod())
    await eventually(lambda: env.agent.polls)
    assert env.agent.polls[0] == {"hold": "0"}


async def test_poller_holds_a_new_pod_until_its_models_answer(env: PollerEnv) -> None:
    env.state.update_pod(None, other_pod())
    env.state.reports["u2"] = report_of("Loaded", settled=True)
    env.agent.set_report(models=models("Loading"))
    env.add(pod())
    await eventually(lambda: env.last_hold() == "86400")
    env.agent.set_report(models=models("LoadFailed"))
    await eventually(lambda: env.last_hold() == "600")
    env.agent.set_report(models=models("Loaded"))
    await eventually(lambda: env.last_hold() == "0")


async def test_poller_sends_no_hold_to_a_pod_that_was_ready(env: PollerEnv) -> None:
    env.agent.set_report(settled=True)
    env.add(pod())
    await eventually(lambda: len(env.agent.polls) > 1)
    assert env.last_hold() is None


async def test_poller_sends_no_hold_while_another_ready_pod_is_silent(env: PollerEnv) -> None:
    env.state.update_pod(None, other_pod())
    env.agent.set_report(models=models("Loading"))
    env.add(pod())
    await eventually(lambda: len(env.agent.polls) > 1)
    assert env.last_hold() is None, "as after a restart of the operator, before all reports have arrived"
    env.state.reports["u2"] = report_of("Loaded", settled=True)
    await eventually(lambda: env.last_hold() == "86400")


async def test_poller_sends_no_hold_while_the_ingress_is_of_another_controller(env: PollerEnv) -> None:
    env.state.update_child(child("Ingress"), None)
    env.add(pod())
    await eventually(lambda: len(env.agent.polls) > 1)
    assert env.last_hold() is None
    env.state.update_child(None, child("Ingress"))
    await eventually(lambda: env.last_hold() == "0")


async def test_poller_without_a_configuration_sends_no_hold(env: PollerEnv) -> None:
    env.state.config = None
    env.add(pod())
    await eventually(lambda: env.report)
    assert env.last_hold() is None


async def test_poller_polls_an_agent_of_an_older_release(env: PollerEnv) -> None:
    """It ignores the hold, and its report is of the same form."""
    env.agent.set_report(settled=False, models=models("Loading"))
    env.add(pod())
    await eventually(lambda: env.report and env.report.models["a"].state == "Loading")
    env.agent.set_report(settled=True, models=models("Loaded"))
    await eventually(lambda: env.report and env.report.settled)
