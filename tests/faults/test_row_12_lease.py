"""Row 12: the leader cannot renew its Lease while it writes; two replicas as deployed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from tests.contract.pair import Pair, is_leader, two_replicas
from tests.faults.rules import Rule, refuse
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl


@pytest.fixture
async def pair(api_server: Cluster, kubectl: Kubectl, client: KubeClient, tmp_path: Path) -> AsyncIterator[Pair]:
    async with two_replicas(api_server, kubectl, client, tmp_path) as found:
        yield found


async def test_fault_12_leader_without_lease_stops_before_other_replica_writes(pair: Pair, figures: Figures) -> None:
    async def keep_asking() -> None:
        while True:
            await pair.apply_model()

    asking = asyncio.create_task(keep_asking())
    began = time.monotonic()
    with pair.proxy.faulty(Rule(refuse, "refuse to renew", verbs=("update",), path="/leases/", client="a")):
        await eventually_in_thread(lambda: pair.writes("b"), "b writes", 30)
        assert pair.proxy.rules[0].done > 1
    asking.cancel()
    last = max(each.at + each.seconds for each in pair.writes("a"))
    first = min(each.at for each in pair.writes("b"))
    figures.take("12 renewals refused: the old one writes its last after", last - began, "s", below=12)
    figures.take("12 renewals refused: between its last write and the other's first", first - last, "s")
    assert last < first
    await eventually_in_thread(lambda: not is_leader(pair.a) and is_leader(pair.b), "one works", 20)
    await pair.placed(await pair.apply_model(), 20)
    assert [each for each in pair.writes("a") if each.at > first] == []
