"""Operator as a process for all namespaces, as the chart runs it, in tests with an event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from localcluster.paths import Cluster
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.informer import Informer
from tests.contract.stage import configure
from tests.support import chart
from tests.support.eventually import eventually_in_thread
from tests.support.figures import TENANTS_LONG, Figures
from tests.support.kubectl import Kubectl, condition
from tests.support.programs import Program, peak_mib, program, read

Manifest = dict[str, Any]
ROUNDS = 20 if TENANTS_LONG else 5
"""Rounds of a measurement, each with and without the attack."""


@asynccontextmanager
async def operating(
    api_server: Cluster, own: Kubectl, log: Path, agent_port: int, **settings: str
) -> AsyncIterator[Program]:
    """Run an operator with its configuration in kubectl's namespace; it is ready when this yields."""
    if not await asyncio.to_thread(own.exists, "configmap", "inferenceservice-config"):
        await asyncio.to_thread(configure, own)
    chosen = {"MANYSERVE_WATCH_NAMESPACES": "", "MANYSERVE_AGENT_PORT": str(agent_port)} | settings
    with logged_program(api_server, own.namespace, log, chosen) as running:
        await eventually_in_thread(lambda: read(running.health, "/readyz") == "ok", "the operator is ready")
        yield running
        assert running.process.poll() is None, "it runs still"


@contextmanager
def logged_program(api_server: Cluster, namespace: str, log: Path, settings: dict[str, str]) -> Iterator[Program]:
    """Run an operator, and print the end of its log."""
    with program(api_server.kubeconfig, namespace, log, settings=settings) as running:
        try:
            yield running
        finally:
            print(log.read_text()[-8000:])


def probes_of(running: Program) -> dict[str, float]:
    """Return the URLs of the operator's probes with their timeouts in seconds."""
    base = f"http://127.0.0.1:{running.health}"
    return {f"{base}{path}": seconds for path, seconds in chart.probe_seconds("operator").items()}


def judge_memory(figures: Figures, running: Program, name: str, attack: str) -> None:
    """Record the peak resident memory of a program. Fail above the limit of the chart."""
    peak, limit = peak_mib(running), chart.memory_limit_mib(name)
    figures.take(f"most memory of the {name} beside {attack}", peak, "MiB", below=limit)
    assert peak < limit


async def ready(kubectl: Kubectl, kind: str, name: str) -> None:
    """Wait until an object is Ready."""
    await eventually_in_thread(lambda: condition(kubectl.get(kind, name)).get("status") == "True", f"{name} is ready")


@asynccontextmanager
async def statuses(client: KubeClient, namespace: str, model: str) -> AsyncIterator[set[str]]:
    """Collect each state of a model during the block: its status of Ready, its replicas, and its messages."""
    states: set[str] = set()

    def record(_old: Manifest | None, new: Manifest | None) -> None:
        if new is not None and new["metadata"]["name"] == model:
            status = new.get("status") or {}
            messages = [each.get("message") for each in status.get("conditions", ()) if each.get("message")]
            states.add(json.dumps([condition(new).get("status"), status.get("loaded"), messages]))

    informer = Informer(client, kinds.TRAINED_MODEL, selection=ListOptions(namespace), on_change=record)
    watching = asyncio.create_task(informer.run())
    await informer.synced.wait()
    yield states
    watching.cancel()
