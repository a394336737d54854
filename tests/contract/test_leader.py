"""Leader election with two replicas: the other replica replaces a leader that ends, is killed or freezes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from tests.contract.pair import LEASE, Pair, is_leader, two_replicas
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl
from tests.support.programs import read


@pytest.fixture
async def pair(api_server: Cluster, kubectl: Kubectl, client: KubeClient, tmp_path: Path) -> AsyncIterator[Pair]:
    async with two_replicas(api_server, kubectl, client, tmp_path) as replicas:
        yield replicas


async def test_leader_terminated_is_replaced_within_three_seconds(pair: Pair, figures: Figures) -> None:
    began = time.monotonic()
    pair.a.process.send_signal(signal.SIGTERM)
    seconds = await pair.failover_seconds(began, 20)
    figures.take("operator ends by SIGTERM: another works after", seconds, "s", below=3)
    assert await asyncio.to_thread(pair.a.process.wait, 20) == 0
    lease = pair.kubectl.get("lease", LEASE)["spec"]
    assert (lease["leaseDurationSeconds"], lease["leaseTransitions"]) == (12, 2)


async def test_leader_killed_is_replaced_within_twenty_seconds(pair: Pair, figures: Figures) -> None:
    began = time.monotonic()
    pair.a.process.kill()
    figures.take("operator killed: another works after", await pair.failover_seconds(began, 20), "s", below=20)


async def test_leader_frozen_writes_nothing_after_it_resumes_and_can_lead_again(pair: Pair, figures: Figures) -> None:
    began = time.monotonic()
    pair.a.process.send_signal(signal.SIGSTOP)
    figures.take("operator frozen: another works after", await pair.failover_seconds(began, 20), "s", below=20)
    woken = time.monotonic()
    pair.a.process.send_signal(signal.SIGCONT)
    await eventually_in_thread(
        lambda: read(pair.a.metrics, "/metrics") and not is_leader(pair.a), "a is not the leader any more", 20
    )
    for _ in range(3):
        await pair.placed(await pair.apply_model(), 20)
    assert pair.writes("a", woken) == []
    assert read(pair.a.health, "/healthz") == read(pair.a.health, "/readyz") == "ok"
    pair.b.process.send_signal(signal.SIGTERM)
    await pair.placed(await pair.apply_model(), 20)
    assert is_leader(pair.a), "without having been started again"
