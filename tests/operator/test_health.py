"""Alive and ready: what makes them fall, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from manyserve.cluster.client import KubeClient
from manyserve.cluster.fence import Fence
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import INFERENCE_SERVICE, TRAINED_MODEL
from manyserve.cluster.kubeconfig import ClusterConfig
from manyserve.cluster.lease import Lease
from manyserve.operator.health import STALE, HealthServer, stale_watches, stuck_election, unsynced
from manyserve.operator.leader_election import LeaderElector
from manyserve.operator.tasks import Tasks


@pytest.fixture
async def informers() -> AsyncIterator[list[Informer]]:
    async with KubeClient(ClusterConfig("http://127.0.0.1:9")) as client:
        yield [Informer(client, INFERENCE_SERVICE), Informer(client, TRAINED_MODEL)]


async def test_a_watch_that_does_not_turn_is_named(informers: list[Informer]) -> None:
    assert stale_watches(informers) is None
    informers[1].last_step -= STALE + 1
    assert stale_watches(informers) == "stalled watches: trainedmodels"


async def test_a_watch_that_hears_nothing_but_turns_is_alive(informers: list[Informer]) -> None:
    informers[0].last_response -= 1000
    assert stale_watches(informers, time.monotonic) is None


async def test_an_election_in_which_nobody_looks_at_the_lease_any_more_is_named() -> None:
    elector = LeaderElector(Lease(KubeClient(ClusterConfig("http://127.0.0.1:9")), "n", "l"), Fence(), "me")
    assert stuck_election(None) is stuck_election(elector) is None
    elector.last_attempt = 1000.0
    assert stuck_election(elector, lambda: 1000.0 + STALE) is None
    assert stuck_election(elector, lambda: 1001.0 + STALE) == "leader election stalled"


async def test_not_ready_before_all_is_listed(informers: list[Informer]) -> None:
    informers[0].settled.set()
    assert unsynced(informers) == "not listed yet: trainedmodels"
    informers[1].settled.set()
    assert unsynced(informers) is None


async def test_the_answers_are_told_over_http() -> None:
    health, metrics = unused_port(), unused_port()
    wrong: list[str] = []
    server = HealthServer(lambda: None, lambda: wrong[0] if wrong else None)
    await server.start(health, metrics)
    async with aiohttp.ClientSession() as session:

        async def ask(port: int, path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.text()

        assert await ask(health, "/healthz") == (200, "ok")
        assert await ask(health, "/readyz") == (200, "ok")
        wrong.append("not listed yet: trainedmodels")
        assert await ask(health, "/readyz") == (503, "not listed yet: trainedmodels")
        status, text = await ask(metrics, "/metrics")
        assert status == 200
        assert "manyserve_workqueue_depth" in text
    await server.stop()


async def test_a_task_that_ended_is_named() -> None:
    async def ends() -> None:
        raise RuntimeError("a defect")

    tasks = Tasks()
    tasks.start("watch of pods", asyncio.Event().wait())  # type: ignore[arg-type]
    tasks.start("events", ends())
    await asyncio.sleep(0)
    assert tasks.ended == ["events"]
    await tasks.stop()
    assert tasks.ended == []
