"""Pods that claim to be replicas, and replicas with hostile agents: no other tenant waits for them.

One namespace has two hosts. All pods of the host `taken` are the attacker's, as after the adoption of forged ones. The
other host has a true replica, pods with its labels, and pods with a forged reference to its ReplicaSet as well.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.api.conditions import MESSAGE_LIMIT
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from manyserve.plan.status.internal_error import INTERNAL_ERROR
from tests.contract.kubelet import ADDRESS, Kubelet, kubelet
from tests.contract.stage import HOST
from tests.support import make
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl
from tests.support.placements import Comparison, Placements, placements
from tests.support.programs import Program, processor_seconds, read
from tests.support.replicas import claimant, reference_to
from tests.tenants.hostile_agents import ADDRESSES, MODEL, UNPOLLED, HostileAgents, hostile_agents
from tests.tenants.operating import ROUNDS, judge_memory, operating, probes_of, ready, statuses
from tests.tenants.probes import probed

TAKEN = "taken"
HONEST = "honest"
"""The model of the host with a true replica."""
HOSTS = 4
"""Hosts of another namespace that are placed one after another, with and without the attack."""
PROCESSORS = 0.6
"""The operator takes fewer processors: two of the forms are long, and each pod has a fifth of one at most."""
WAYS = {"bare": False, "forged": True}
REPORTING = len(ADDRESSES) + 1


@dataclass
class Attack:
    """A namespace under attack, and placements in another one."""

    victim: Kubectl
    others: Placements
    operator: Program
    agents: HostileAgents
    cores: list[float] = field(default_factory=list)
    """Processors that the operator took, for each call of `placed`."""

    async def placed(self) -> list[float]:
        """Return the seconds until each of some new hosts has a model that is placed."""
        began, taken = time.monotonic(), processor_seconds(self.operator.process.pid)
        seconds = [await self.others.host_in() for _ in range(HOSTS)]
        self.cores.append((processor_seconds(self.operator.process.pid) - taken) / (time.monotonic() - began))
        return seconds


@asynccontextmanager
async def attack(api_server: Cluster, client: KubeClient, folder: Path) -> AsyncIterator[Attack]:
    """Create both hosts and all pods; the agents are calm when this yields."""
    with new_namespace(api_server) as victim, new_namespace(api_server) as other:
        async with (
            kubelet(client, victim.namespace, HOST) as (honest, port),
            kubelet(client, victim.namespace, TAKEN) as (taken, _),
            hostile_agents(port) as agents,
            operating(api_server, victim, folder / "log", port) as operator,
            placements(client, other.namespace) as others,
        ):
            give_addresses(honest, taken)
            await create_hosts(victim)
            await create_claimants(victim, Placements(client, victim.namespace))
            await eventually_in_thread(lambda: reporting(operator) == REPORTING, "each replica is polled")
            yield Attack(victim, others, operator, agents)


def give_addresses(honest: Kubelet, taken: Kubelet) -> None:
    """Give all pods of the host `taken` the addresses of hostile agents, and claimants one of their own."""
    assigned: dict[str, str] = {}
    taken.address_of = lambda pod: assigned.setdefault(pod, ADDRESSES[len(assigned) % len(ADDRESSES)])
    honest.address_of = lambda pod: UNPOLLED if pod.startswith("claimant") else ADDRESS


async def create_hosts(victim: Kubectl) -> None:
    """Create both hosts, and wait until the true replica serves."""
    objects = (
        make.host_object(),
        make.model_object(HONEST),
        make.host_object(TAKEN, minReplicas=len(ADDRESSES)),
        make.model_object(MODEL, host=TAKEN),
    )
    await asyncio.to_thread(victim.apply, *map(victim.here, objects))
    await ready(victim, "tm", HONEST)


async def create_claimants(victim: Kubectl, attacker: Placements) -> None:
    """Create a bare pod and one with a forged reference for each hostile agent; wait until they run."""
    (replica_set,) = await asyncio.to_thread(victim.list, "rs", "-l", f"{names.HOST_LABEL}={HOST}")
    for way, forged in WAYS.items():
        for number in range(len(ADDRESSES)):
            owners = [reference_to(replica_set)] if forged else []
            await attacker.create(kinds.POD, claimant(f"claimant-{way}-{number}", HOST, owners))
    total = len(WAYS) * len(ADDRESSES) + REPORTING
    await eventually_in_thread(lambda: len(running_pods(victim)) == total, "all pods run")


def running_pods(victim: Kubectl) -> list[str]:
    """Return the addresses of the pods that run."""
    return [each["status"]["podIP"] for each in victim.list("pod") if each["status"].get("phase") == "Running"]


def reporting(operator: Program) -> int:
    """Return the number of agents that have a report, from the metrics."""
    text = read(operator.metrics, "/metrics")
    samples = re.findall(r'^manyserve_agents\{.*state="reporting"} (\S+)$', text, re.MULTILINE)
    return int(sum(map(float, samples)))


async def test_hostile_agents_delay_no_other_tenant_and_change_no_true_replica(
    api_server: Cluster, client: KubeClient, tmp_path: Path, tenants: Figures
) -> None:
    compared = Comparison()
    async with attack(api_server, client, tmp_path) as case:
        await case.others.host_in()  # the very first host takes longer
        with probed(probes_of(case.operator)) as probes:
            async with (
                statuses(client, case.victim.namespace, HONEST) as states,
                statuses(client, case.victim.namespace, MODEL) as believed,
            ):
                for _ in range(ROUNDS):
                    compared.without += await case.placed()
                    async with case.agents.attack():
                        compared.beside += await case.placed()
        print(f"answers: {case.agents.answers}; {compared}")
        polls = case.agents.polls_of_claimants
        tenants.take("polls of pods that only claim to be replicas", polls, "", exactly=0)
        assert polls == 0
        for name, cores in (("hostile", case.cores[1::2]), ("calm", case.cores[::2])):
            tenants.take(
                f"processors that the operator takes beside {name} agents", median(cores), "", below=PROCESSORS
            )
            assert median(cores) < PROCESSORS
        judge_memory(tenants, case.operator, "operator", "hostile agents")
        probes.judge(tenants, "operator beside hostile agents", min(probes_of(case.operator).values()))
        tenants.take("states of a true replica's model beside forged pods", len(states), "", exactly=1)
        assert [json.loads(each)[:2] for each in states] == [["True", "1/1"]], states
        judge_messages(tenants, [message for each in believed for message in json.loads(each)[2]])
        failed = await asyncio.to_thread(internal_errors, case.victim)
        tenants.take("plans that fail beside hostile agents", len(failed), "hosts", exactly=0)
        assert not failed
        compared.judge(tenants, "time of another host beside hostile agents")


def judge_messages(tenants: Figures, messages: list[str]) -> None:
    """Record the messages of hostile agents that reached a status as they are. Fail if there is one."""
    assert any("red" in message for message in messages), "reports of pods in the place of replicas are believed"
    raw = [message for message in messages if not message.isprintable() or len(message) > MESSAGE_LIMIT]
    tenants.take("messages of hostile agents that are long or not printable", len(raw), "", exactly=0)
    assert not raw


def internal_errors(victim: Kubectl) -> list[str]:
    """Return the hosts with an internal error in their status."""
    conditions = {host: victim.get("isvc", host)["status"]["conditions"] for host in (HOST, TAKEN)}
    return [host for host, each in conditions.items() if any(one.get("reason") == INTERNAL_ERROR for one in each)]
