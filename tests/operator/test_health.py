"""Liveness and readiness, over HTTP."""

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


async def test_stale_watches_names_a_stalled_watch(informers: list[Informer]) -> None:
    assert stale_watches(informers) is None
    informers[1].last_step -= STALE + 1
    assert stale_watches(informers) == "stalled watches: trainedmodels"


async def test_stale_watches_accepts_a_watch_that_makes_steps_without_a_response(informers: list[Informer]) -> None:
    informers[0].last_response -= 1000
    assert stale_watches(informers, time.monotonic) is None


async def test_stuck_election_reports_a_stalled_election() -> None:
    elector = LeaderElector(Lease(KubeClient(ClusterConfig("http://127.0.0.1:9")), "n", "l"), Fence(), "me")
    assert stuck_election(None) is stuck_election(elector) is None
    elector.last_attempt = 1000.0
    assert stuck_election(elector, lambda: 1000.0 + STALE) is None
    assert stuck_election(elector, lambda: 1001.0 + STALE) == "leader election stalled"


async def test_unsynced_names_the_kinds_that_were_not_listed(informers: list[Informer]) -> None:
    informers[0].settled.set()
    assert unsynced(informers) == "not listed yet: trainedmodels"
    informers[1].settled.set()
    assert unsynced(informers) is None


async def test_health_server_serves_probes_and_metrics() -> None:
    health, metrics = unused_port(), unused_port()
    problems: list[str] = []
    server = HealthServer(lambda: None, lambda: problems[0] if problems else None)
    await server.start(health, metrics)
    async with aiohttp.ClientSession() as session:

        async def get(port: int, path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.text()

        assert await get(health, "/healthz") == (200, "ok")
        assert await get(health, "/readyz") == (200, "ok")
        problems.append("not listed yet: trainedmodels")
        assert await get(health, "/readyz") == (503, "not listed yet: trainedmodels")
        status, text = await get(metrics, "/metrics")
        assert status == 200
        assert 'workqueue_depth{name="inferenceservice"} ' in text
    await server.stop()


async def test_tasks_name_an_ended_task() -> None:
    async def ends() -> None:
        raise RuntimeError("a defect")

    tasks = Tasks()
    tasks.start("watch of pods", asyncio.Event().wait())  # type: ignore[arg-type]
    tasks.start("events", ends())
    await asyncio.sleep(0)
    assert tasks.ended == ["events"]
    await tasks.stop()
    assert tasks.ended == []
