"""The stage of the control plane: a real API server, pods of kwok, and the real operator.

The operator watches one namespace; a second one is the floor's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.stage import configure
from tests.support.control_plane import control_plane, environment
from tests.support.eventually import eventually
from tests.support.kubectl import Kubectl
from tests.support.programs import free_port, program

from bench.control.agents import Agents, agents_of
from bench.control.floor import READY
from bench.control.meter import Meter
from bench.control.models import LIMIT, User, Watched, watched
from localcluster import kwok
from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import find_cluster_config

WORK, BARE = "work", "bare"
Manifest = dict[str, Any]


@contextmanager
def servers() -> Iterator[Cluster]:
    """Run a control plane with a simulated node and the two namespaces."""
    with control_plane() as server:
        kwok.start(server)
        for namespace in (WORK, BARE):
            Kubectl(environment(server))("create", "namespace", namespace)
        configure(Kubectl(environment(server), WORK))
        yield server


@dataclass
class Side:
    """One of the two namespaces: its user, and its models from a watch."""

    user: User
    models: Watched


@dataclass
class Stage:
    """All that a scenario needs."""

    server: Cluster
    client: KubeClient
    agents: Agents
    work: Side
    bare: Side
    agent_port: int
    folder: Path
    statuses: dict[str, Manifest] = field(default_factory=dict)
    """The statuses that the operator wrote to ready models."""

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Meter]:
        """Run the operator; it has listed everything when this yields."""
        settings = {"MANYSERVE_AGENT_PORT": str(self.agent_port), "MANYSERVE_LEADER_ELECTION": "false"}
        with program(self.server.kubeconfig, WORK, self.folder / "operator.log", settings=settings) as running:
            async with Meter(running, self.server, self.agents) as meter:
                await eventually(meter.is_ready, limit=LIMIT)
                yield meter

    @asynccontextmanager
    async def floor(self) -> AsyncIterator[None]:
        """Run the bare loop in the other namespace."""
        (self.folder / "statuses.json").write_text(json.dumps(self.statuses))
        log = self.folder / "floor.log"
        log.unlink(missing_ok=True)
        words = ("-m", "bench.control.floor", str(self.folder / "statuses.json"))
        with program(self.server.kubeconfig, BARE, log, *words):
            await eventually(lambda: READY in log.read_text(), limit=60)
            yield

    async def flip(self, *, multi_model: bool) -> None:
        """Set in the configuration whether Triton takes several models."""
        kubectl = Kubectl(environment(self.server), WORK)
        await asyncio.to_thread(kubectl, "delete", "configmap", "inferenceservice-config")
        await asyncio.to_thread(configure, kubectl, multi_model=multi_model)


@asynccontextmanager
async def staged(server: Cluster, folder: Path) -> AsyncIterator[Stage]:
    """Set the stage."""
    port = free_port()
    async with (
        KubeClient(find_cluster_config({"KUBECONFIG": str(server.kubeconfig)})) as client,
        agents_of(client, WORK, port) as agents,
        watched(client, WORK) as work,
        watched(client, BARE) as bare,
    ):
        sides = (Side(User(client, WORK), work), Side(User(client, BARE), bare))
        yield Stage(server, client, agents, *sides, agent_port=port, folder=folder)
