"""Two replicas as they are deployed, and one Lease; all their requests pass a proxy, so it is known who wrote what.

The time until the other works is counted until what a user asked for meanwhile is in `models.json`.
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
        await eventually_in_thread(
            lambda: any(name in each for each in self.kubelet.configs), f"{name} is placed", limit
        )

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
    """Tell whether a replica says that it works."""
    return "manyserve_leader 1.0" in read(replica.metrics, "/metrics")


@asynccontextmanager
async def two_replicas(api_server: Cluster, kubectl: Kubectl, client: KubeClient, folder: Path) -> AsyncIterator[Pair]:
    """Have a host with a model, and two replicas, of which `a` works."""
    await asyncio.to_thread(configure, kubectl)
    async with kubelet(client, kubectl.namespace, HOST) as (one, port), proxying(api_server.kubeconfig) as proxy:

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
            await eventually_in_thread(lambda: works(a), "a works", 30)
            async with replica("b") as b:
                found = Pair(kubectl, one, proxy, a, b)
                host = make.host_object() | {"metadata": {"name": HOST, "namespace": kubectl.namespace}}
                await asyncio.to_thread(kubectl.apply, host)
                await found.placed(await found.ask(), 30)
                assert (works(b), found.writes("b"), await asyncio.to_thread(found.holder)) == (False, [], "a")
                yield found
                found.judge()
