"""Two replicas of the operator with one Lease; a proxy records the requests of each replica.

The time of a failover ends when a model that was applied meanwhile is in `models.json`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from tests.contract.kubelet import Kubelet, kubelet
from tests.contract.stage import HOST, configure
from tests.faults.exchange import Line
from tests.faults.proxy import Proxy, proxying
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl
from tests.support.programs import Program, program, read

LEASE = "manyserve-operator"


@dataclass
class Pair:
    """Two replicas: `a` leads, `b` waits."""

    kubectl: Kubectl
    kubelet: Kubelet
    proxy: Proxy
    a: Program
    b: Program
    numbers: count[int] = field(default_factory=count)

    def holder(self) -> str:
        """Return the holder of the Lease."""
        return str(self.kubectl.get("lease", LEASE)["spec"]["holderIdentity"])

    def writes(self, client: str, since: float = 0) -> list[Line]:
        """Return the writes of one replica, without those of the Lease."""
        return [each for each in self.proxy.writes(client) if "/leases" not in each.path and each.at >= since]

    async def apply_model(self) -> str:
        """Apply a new model, and return its name."""
        name = f"m-{next(self.numbers)}"
        metadata = {"metadata": {"name": name, "namespace": self.kubectl.namespace}}
        await asyncio.to_thread(self.kubectl.apply, make.model_object(memory="1Mi") | metadata)
        return name

    async def placed(self, name: str, limit: float) -> None:
        """Wait until a model is in `models.json`."""
        await eventually_in_thread(
            lambda: any(name in each for each in self.kubelet.configs), f"{name} is placed", limit
        )

    async def failover_seconds(self, since: float, limit: float) -> float:
        """Return the seconds until `b` has placed a new model."""
        await self.placed(await self.apply_model(), limit)
        seconds = time.monotonic() - since
        assert self.writes("b", since)
        assert await asyncio.to_thread(self.holder) == "b"
        return seconds

    def assert_nothing_dropped(self) -> None:
        """Assert that each version of `models.json` has all models of the one before."""
        for earlier, later in zip(self.kubelet.configs, self.kubelet.configs[1:], strict=False):
            assert set(earlier) <= set(later)


def is_leader(replica: Program) -> bool:
    """Return whether the metrics of a replica report it as leader."""
    return f'leader_election_master_status{{name="{LEASE}"}} 1.0' in read(replica.metrics, "/metrics")


@asynccontextmanager
async def two_replicas(api_server: Cluster, kubectl: Kubectl, client: KubeClient, folder: Path) -> AsyncIterator[Pair]:
    """Run two replicas, of which `a` leads, and create a host with a model."""
    await asyncio.to_thread(configure, kubectl)
    async with kubelet(client, kubectl.namespace, HOST) as (fake, port), proxying(api_server.kubeconfig) as proxy:

        @asynccontextmanager
        async def replica(name: str) -> AsyncIterator[Program]:
            settings = {"POD_NAME": name, "MANYSERVE_AGENT_PORT": str(port)}
            kubeconfig = proxy.kubeconfig(name, folder)
            log = folder / f"{name}.log"
            with program(kubeconfig, kubectl.namespace, log, settings=settings) as running:
                try:
                    await eventually_in_thread(lambda: read(running.health, "/readyz") == "ok", f"{name} is ready", 60)
                    yield running
                finally:
                    print(log.read_text())

        async with replica("a") as a:
            await eventually_in_thread(lambda: is_leader(a), "a leads")
            async with replica("b") as b:
                pair = Pair(kubectl, fake, proxy, a, b)
                host = make.host_object() | {"metadata": {"name": HOST, "namespace": kubectl.namespace}}
                await asyncio.to_thread(kubectl.apply, host)
                await pair.placed(await pair.apply_model(), 30)
                assert (is_leader(b), pair.writes("b"), await asyncio.to_thread(pair.holder)) == (False, [], "a")
                yield pair
                pair.assert_nothing_dropped()
