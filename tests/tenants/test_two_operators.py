"""Two operator processes of different settings with one scope: the Deployment is written by one, and the other is idle.

Both once wrote the image of their own agent, 235 times in 30 s.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.cluster.client import KubeClient
from tests.contract.kubelet import kubelet
from tests.contract.stage import HOST, configure
from tests.support import make
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually_in_thread
from tests.support.figures import TENANTS_LONG, Figures
from tests.support.kubectl import Kubectl
from tests.support.placements import Placements, placements
from tests.support.programs import Program, read
from tests.tenants.operating import operating, ready

SECONDS = 60.0 if TENANTS_LONG else 10.0
"""Duration of the changes by users while both run."""
IMAGE = "example/another-agent:2"


def configure_with_agent(kubectl: Kubectl) -> None:
    """Create a configuration with another image of the agent."""
    configure(kubectl)
    data = {"data": {"agent": json.dumps({"image": IMAGE})}}
    kubectl("patch", "configmap", "inferenceservice-config", "--type=merge", "-p", json.dumps(data))


def writes(operator: Program) -> dict[str, float]:
    """Return the number of successful writes of an operator, by kind and verb, without its Lease and Events."""
    lines = read(operator.metrics, "/metrics").splitlines()
    pairs = [line.split() for line in lines if line.startswith("manyserve_api_writes_total{")]
    return {name: float(value) for name, value in pairs if "Lease" not in name and "Event" not in name}


def generation(kubectl: Kubectl) -> int:
    """Return the generation of the host's Deployment."""
    found: int = kubectl.get("deployment", names.deployment(HOST))["metadata"]["generation"]
    return found


async def changed(seen: Placements) -> int:
    """Create models on the host one after another, so that each operator has events to plan for; return how many."""
    began, number = time.monotonic(), 0
    while time.monotonic() - began < SECONDS:
        await seen.model_in(HOST, memory=1)
        number += 1
    return number


def is_second(operator: Program) -> bool:
    """Return whether an operator has left the hosts of another one alone, by its log."""
    return "is managed by the operator" in operator.log.read_text()


@pytest.mark.parametrize("together", [False, True], ids=["later", "together"])
async def test_operator_process_with_another_agent_writes_nothing_to_hosts_of_the_first(
    api_server: Cluster, kubectl: Kubectl, client: KubeClient, tmp_path: Path, tenants: Figures, *, together: bool
) -> None:
    """The host is created before the second operator starts, or while both run."""
    host = (make.host_object(), make.model_object())
    async with AsyncExitStack() as stack:
        first, start_second, seen = await prepared(stack, api_server, kubectl, client, tmp_path)
        second = await start_second() if together else None
        await asyncio.to_thread(kubectl.apply, *map(kubectl.here, host))
        await ready(kubectl, "tm", "cifar10")
        both = (first, second or await start_second())
        await eventually_in_thread(lambda: any(map(is_second, both)), "one leaves the host to the other")
        (idle,) = filter(is_second, both)
        before = await asyncio.to_thread(generation, kubectl), await asyncio.to_thread(writes, idle)
        models = await changed(seen)
        after = await asyncio.to_thread(generation, kubectl), await asyncio.to_thread(writes, idle)
        (busy,) = {*both} - {idle}
        assert sum((await asyncio.to_thread(writes, busy)).values()) > models
    name, peer = ("together" if together else "later"), f"{models} models were placed in {SECONDS:g} s"
    tenants.take(f"changes of a Deployment, second started {name}", after[0] - before[0], "", exactly=0, peer=peer)
    tenants.take(f"writes of the idle operator, second started {name}", total(after) - total(before), "", exactly=0)
    assert after == before
    assert together or not after[1], after


def total(record: tuple[int, dict[str, float]]) -> float:
    """Return the sum of all writes."""
    return sum(record[1].values())


async def prepared(
    stack: AsyncExitStack, api_server: Cluster, kubectl: Kubectl, client: KubeClient, folder: Path
) -> tuple[Program, Callable[[], Awaitable[Program]], Placements]:
    """Run the first operator until the stack ends. Return it, a function that starts the second, and placements."""
    other = stack.enter_context(new_namespace(api_server))
    await asyncio.to_thread(configure_with_agent, other)
    _, port = await stack.enter_async_context(kubelet(client, kubectl.namespace, HOST))
    scope = {"MANYSERVE_WATCH_NAMESPACES": kubectl.namespace}

    async def start(own: Kubectl, name: str) -> Program:
        return await stack.enter_async_context(operating(api_server, own, folder / name, port, **scope))

    first = await start(kubectl, "first")
    seen = await stack.enter_async_context(placements(client, kubectl.namespace))
    return first, partial(start, other, "second"), seen
