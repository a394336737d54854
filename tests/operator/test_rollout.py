"""Roll-out of a host, with the poller and real agents: a new pod is ready when no model is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.http_api import application
from manyserve.api.names import HOST_LABEL, Key
from manyserve.backoff import Backoff
from manyserve.cluster.state import ClusterState
from manyserve.operator.agent_poller import AgentPoller
from manyserve.operator.poll_client import PollIntervals
from tests.agent.support import DROPPED_STREAMS, Pod, entry, fake_pod
from tests.support import make, replicas
from tests.support.eventually import eventually

pytestmark = DROPPED_STREAMS

HOST = Key("default", "triton-mms")
SLOW = dict.fromkeys(("silence_seconds", "load_seconds", "stall_seconds"), 600.0)
"""Settings of the new pod: nothing fails by time while a test runs."""
QUICK = PollIntervals(wait=1, pause=0.001, retry=Backoff(base=0.01, cap=0.02), drop_after=2.0)


class Rollout:
    """An old and a new pod with two models each, and a poller."""

    def __init__(self, old: Pod, new: Pod, stack: AsyncExitStack) -> None:
        self.old, self.new = old, new
        self.polls = 0
        """Polls of the new pod."""
        self._stack = stack
        self._port: int | None = None
        self.state = ClusterState(lambda _key: None)
        self.state.config = make.config(rollout={"modelTimeout": "1s"}, ingress={"disableIngressCreation": True})
        self.state.update_host(None, make.host_object())
        labels = {HOST_LABEL: HOST.name}
        metadata = {"name": HOST.name, "namespace": HOST.namespace, "labels": labels}
        self.state.update_child(None, {"kind": "Service", "metadata": metadata})
        replicas.add_chain(self.state)
        for name in ("a", "b"):
            self.state.update_model(None, make.model_object(name))
        for pod in (old, new):
            for name in ("a", "b"):
                pod.bucket.put(name, name)
            pod.config.write(entry("a"), entry("b"))

    async def start_old(self, **states: str) -> None:
        """Start the old pod, which is ready once its models are in these states."""
        await self._start(self.old, "old", "127.0.0.1")
        await self.old.shows(**(states or {"a": "Loaded", "b": "Loaded"}))
        self.state.update_pod(None, self.manifest("old", "127.0.0.1", ready=True))

    async def start_new(self) -> None:
        await self._start(self.new, "new", "127.0.0.2")
        self.state.update_pod(None, self.manifest("new", "127.0.0.2", ready=False))
        self.poller = AgentPoller(self.state, lambda _key: None, QUICK, port=self._port or 0)
        self._stack.push_async_callback(self.poller.close)
        await self.poller.open()

    async def polls_again(self) -> None:
        """Wait until a poll was sent, and answered, after everything that the agent has reported."""
        before = self.polls
        await eventually(lambda: self.polls >= before + 3)

    async def _start(self, pod: Pod, name: str, address: str) -> None:
        await pod.start()
        app = application(pod.agent, pod.context)
        if name == "new":
            app.middlewares.append(self._count)
        server = TestServer(app, host=address, port=self._port)
        await server.start_server(shutdown_timeout=0.01)
        self._port = server.port
        self._stack.push_async_callback(server.close)

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        self.polls += 1
        return response

    @staticmethod
    def manifest(name: str, address: str, *, ready: bool) -> dict[str, Any]:
        own = {"labels": replicas.pod_labels(), "ownerReferences": replicas.pod_owners()}
        metadata = {"name": name, "namespace": HOST.namespace, "uid": name} | own
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        return {"metadata": metadata, "status": {"phase": "Running", "podIP": address, "conditions": conditions}}


@pytest.fixture
async def rollout(tmp_path: Path) -> AsyncIterator[Rollout]:
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(fake_pod(tmp_path / "old"))
        new = await stack.enter_async_context(fake_pod(tmp_path / "new", **SLOW))
        yield Rollout(old, new, stack)


async def test_new_pod_is_settled_after_a_slow_load(rollout: Rollout) -> None:
    rollout.new.triton.hanging.add("b")
    await rollout.start_old()
    await rollout.start_new()
    await rollout.new.shows(a="Loaded", b="Loading")
    await rollout.polls_again()
    assert not rollout.new.report.settled
    rollout.new.triton.release.set()
    await eventually(lambda: rollout.new.report.settled)
    assert rollout.new.states() == {"a": "Loaded", "b": "Loaded"}


async def test_new_pod_is_settled_after_a_slow_download_across_a_restart_of_the_operator(rollout: Rollout) -> None:
    rollout.new.bucket.fault = "hang get"
    await rollout.start_old()
    await rollout.start_new()
    await rollout.new.shows(a="Downloading", b="Downloading")
    await rollout.polls_again()
    await rollout.poller.close()
    await rollout.poller.open()
    await rollout.polls_again()
    assert not rollout.new.report.settled
    assert rollout.old.states() == {"a": "Loaded", "b": "Loaded"}


async def test_new_pod_is_settled_without_a_failing_model_after_the_timeout(rollout: Rollout) -> None:
    rollout.new.triton.refusing["b"] = "no memory"
    await rollout.start_old()
    started = asyncio.get_running_loop().time()
    await rollout.start_new()
    await eventually(lambda: rollout.new.report.settled)
    assert asyncio.get_running_loop().time() - started >= 1.0
    await rollout.new.shows(a="Loaded", b="LoadFailed")  # a retry may be under way


async def test_new_pod_is_settled_without_a_model_that_answers_nowhere(rollout: Rollout) -> None:
    rollout.old.triton.refusing["b"] = "no memory"
    rollout.new.triton.hanging.add("b")
    await rollout.start_old(a="Loaded", b="LoadFailed")
    await rollout.start_new()
    await eventually(lambda: rollout.new.report.settled)
    assert rollout.new.states()["a"] == "Loaded"


async def test_pod_without_others_is_settled_at_the_first_answer_of_its_server(rollout: Rollout) -> None:
    rollout.new.bucket.fault = "hang get"
    await rollout.start_new()
    await eventually(lambda: rollout.new.report.settled)
    assert "Loaded" not in rollout.new.states().values()
