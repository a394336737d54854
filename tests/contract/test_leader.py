"""Two replicas as they are deployed, and one Lease: whatever becomes of the one that works, the other follows.

All their requests pass a proxy, so it is known who wrote what and when. The time until the other works is
counted until what a user asked for meanwhile is in `models.json`.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeHttp
from tests.contract.kubelet import Kubelet, kubelet
from tests.contract.stage import HOST, configure, soon
from tests.faults.exchange import Line
from tests.faults.proxy import Proxy, proxying
from tests.faults.rules import Rule, refuse
from tests.support import make
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl
from tests.support.programs import Program, program, read

LEASE = "manyserve-operator"


@dataclass
class Pair:
    """Two replicas: `a` works, `b` waits."""

    kubectl: Kubectl
    kubelet: Kubelet
    proxy: Proxy
    a: Program
    b: Program
    numbers: count[int] = field(default_factory=count)

    def holder(self) -> str:
        """Return whom the Lease names."""
        return str(self.kubectl.get("lease", LEASE)["spec"]["holderIdentity"])

    def writes(self, client: str, since: float = 0) -> list[Line]:
        """Return the writes of one replica, the Lease's aside."""
        return [each for each in self.proxy.writes(client) if "/leases" not in each.path and each.at >= since]

    async def ask(self) -> str:
        """Have a user apply one model more, and return its name."""
        name = f"m-{next(self.numbers)}"
        metadata = {"metadata": {"name": name, "namespace": self.kubectl.namespace}}
        await asyncio.to_thread(self.kubectl.apply, make.model_object(memory="1Mi") | metadata)
        return name

    async def placed(self, name: str, limit: float) -> None:
        """Wait until a model is in `models.json`."""
        await soon(lambda: any(name in each for each in self.kubelet.configs), f"{name} is placed", limit)

    async def followed(self, since: float, limit: float) -> float:
        """Return the seconds until what is asked for now is done, by `b`."""
        await self.placed(await self.ask(), limit)
        seconds = time.monotonic() - since
        assert self.writes("b", since)
        assert await asyncio.to_thread(self.holder) == "b"
        return seconds

    def judge(self) -> None:
        """Nothing that was placed was ever dropped."""
        for earlier, later in zip(self.kubelet.configs, self.kubelet.configs[1:], strict=False):
            assert set(earlier) <= set(later)


def works(replica: Program) -> bool:
    return "manyserve_leader 1.0" in read(replica.metrics, "/metrics")


@pytest.fixture
async def pair(api_server: Cluster, kubectl: Kubectl, client: KubeHttp, tmp_path: Path) -> AsyncIterator[Pair]:
    await asyncio.to_thread(configure, kubectl)
    async with kubelet(client, kubectl.namespace, HOST) as (one, port), proxying(api_server.kubeconfig) as proxy:

        @asynccontextmanager
        async def replica(name: str) -> AsyncIterator[Program]:
            settings = {"POD_NAME": name, "MANYSERVE_AGENT_PORT": str(port)}
            kubeconfig = proxy.kubeconfig(name, tmp_path)
            log = tmp_path / f"{name}.log"
            with program(kubeconfig, kubectl.namespace, log, settings=settings) as running:
                try:
                    await soon(lambda: read(running.health, "/readyz") == "ok", f"{name} is ready", 60)
                    yield running
                finally:
                    print(log.read_text())

        async with replica("a") as a:
            await soon(lambda: works(a), "a works", 30)
            async with replica("b") as b:
                found = Pair(kubectl, one, proxy, a, b)
                host = make.host_object() | {"metadata": {"name": HOST, "namespace": kubectl.namespace}}
                await asyncio.to_thread(kubectl.apply, host)
                await found.placed(await found.ask(), 30)
                assert (works(b), found.writes("b"), await asyncio.to_thread(found.holder)) == (False, [], "a")
                yield found
                found.judge()


async def test_when_the_one_that_works_is_told_to_end_the_other_works_within_three_seconds(
    pair: Pair, figures: Figures
) -> None:
    began = time.monotonic()
    pair.a.process.send_signal(signal.SIGTERM)
    seconds = await pair.followed(began, 20)
    figures.take("operator ends by SIGTERM: another works after", seconds, "s", below=3)
    assert await asyncio.to_thread(pair.a.process.wait, 20) == 0
    lease = pair.kubectl.get("lease", LEASE)["spec"]
    assert (lease["leaseDurationSeconds"], lease["leaseTransitions"]) == (12, 2)


async def test_when_the_one_that_works_is_killed_the_other_works_within_twenty_seconds(
    pair: Pair, figures: Figures
) -> None:
    began = time.monotonic()
    pair.a.process.kill()
    figures.take("operator killed: another works after", await pair.followed(began, 20), "s", below=20)


async def test_one_that_is_frozen_and_wakes_writes_nothing_and_can_follow_in_its_turn(
    pair: Pair, figures: Figures
) -> None:
    began = time.monotonic()
    pair.a.process.send_signal(signal.SIGSTOP)
    figures.take("operator frozen: another works after", await pair.followed(began, 20), "s", below=20)
    woken = time.monotonic()
    pair.a.process.send_signal(signal.SIGCONT)
    await soon(lambda: read(pair.a.metrics, "/metrics") and not works(pair.a), "a knows that it does not work", 20)
    for _ in range(3):
        await pair.placed(await pair.ask(), 20)
    assert pair.writes("a", woken) == []
    assert read(pair.a.health, "/healthz") == read(pair.a.health, "/readyz") == "ok"
    pair.b.process.send_signal(signal.SIGTERM)
    await pair.placed(await pair.ask(), 20)
    assert works(pair.a), "without having been started again"


async def test_fault_12_one_that_cannot_renew_while_it_writes_stops_before_the_other_begins(
    pair: Pair, figures: Figures
) -> None:
    async def keep_asking() -> None:
        while True:
            await pair.ask()

    asking = asyncio.create_task(keep_asking())
    began = time.monotonic()
    with pair.proxy.faulty(Rule(refuse, "refuse to renew", verbs=("update",), path="/leases/", client="a")):
        await soon(lambda: pair.writes("b"), "b writes", 30)
        assert pair.proxy.rules[0].done > 1
    asking.cancel()
    last = max(each.at + each.seconds for each in pair.writes("a"))
    first = min(each.at for each in pair.writes("b"))
    figures.take("renewals refused: the old one writes its last after", last - began, "s", below=12)
    figures.take("renewals refused: between its last write and the other's first", first - last, "s")
    assert last < first
    await soon(lambda: not works(pair.a) and works(pair.b), "one works", 20)
    await pair.placed(await pair.ask(), 20)
    assert [each for each in pair.writes("a") if each.at > first] == []
