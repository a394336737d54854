"""Autoscaler: decisions about copies reach the snapshot, and a host is enqueued when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from random import Random

import pytest

from manyserve.api.inferenceservice import HETEROGENEOUS
from manyserve.api.names import Key
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from manyserve.operator import autoscaler
from manyserve.operator.autoscaler import Autoscaler
from manyserve.plan.plan import plan
from manyserve.plan.sharding.scaling import SCALE_DOWN_STABILIZATION, STABLE_WINDOW, TICK
from tests.operator.test_agent_poller import pod
from tests.support import make, replicas, sharded
from tests.support.eventually import eventually
from tests.support.traffic import interval

HOST = Key("default", "triton-mms")
HOUR = 3600
MODEL = sharded.model("a", maxReplicas=8).to_wire()


class Env:
    """An autoscaler of one host with a model `a` on one pod, and a clock that tests move."""

    def __init__(self, allocation: str | None = HETEROGENEOUS) -> None:
        self.enqueued: list[Key] = []
        self.now = 1000.0
        self.state = ClusterState(lambda _key: None)
        self.state.config = make.config()
        self.state.update_host(None, make.host_object(allocation=allocation, minReplicas=1, maxReplicas=8))
        self.state.update_model(None, MODEL)
        replicas.add_chain(self.state)
        self.state.update_pod(None, pod())
        self.autoscaler = Autoscaler(self.state, self.enqueued.append, lambda: self.now)

    @property
    def copies(self) -> int | None:
        """The decided copies in the snapshot."""
        seen = observe(self.state, HOST)
        decision = seen.scaling.decisions.get("a") if seen is not None else None
        return decision.copies if decision is not None else None

    async def run(self, seconds: int, in_flight: Callable[[float], float]) -> list[tuple[float, int | None]]:
        """Tick for a simulated time, and return each change: the second from its begin, and the copies."""
        begin, found, before = self.now, [], self.copies
        for _ in range(seconds // TICK):
            self.state.traffic["u1"] = interval(self.now, a=in_flight(self.now - begin))
            await self.autoscaler.tick()
            if self.copies != before:
                found.append((self.now - begin, self.copies))
            before = self.copies
            self.now += TICK
        return found


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    with sharded.served():
        yield


async def test_step_of_the_traffic_gives_copies_within_seconds_and_their_end_waits() -> None:
    env = Env()
    await env.run(600, lambda _: 0.5)
    assert (env.copies, env.enqueued) == (1, [])
    up = await env.run(600, lambda _: 6.0)
    assert up[-1][1] == 6
    assert up[-1][0] <= 2 * TICK
    assert env.enqueued == [HOST] * len(up)
    down = await env.run(HOUR, lambda _: 0.5)
    assert [copies for _, copies in down] == [5, 4, 3, 2, 1], "as the average of the stable window falls"
    assert SCALE_DOWN_STABILIZATION <= down[0][0] < down[-1][0] <= SCALE_DOWN_STABILIZATION + STABLE_WINDOW


async def test_noise_at_80_percent_of_the_target_changes_nothing_for_an_hour() -> None:
    env, random = Env(), Random(3)
    changes = await env.run(HOUR, lambda _: max(0.0, random.gauss(0.8, 0.15)))
    assert changes == [(0.0, 1)], "the first decision, with the copies of before"
    assert env.enqueued == []


async def test_changed_decision_changes_the_plan() -> None:
    env = Env()
    await env.run(10, lambda _: 6.0)
    seen = observe(env.state, HOST)
    assert seen is not None
    assert len(plan(seen, make.NOW).configs) == 6


@pytest.mark.parametrize("limit", [1, 200], ids=["in a thread", "in the event loop"])
async def test_decisions_are_the_same_in_a_thread(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(autoscaler, "IN_THREAD_FROM", limit)
    env = Env()
    await env.run(10, lambda _: 6.0)
    assert env.copies == 6


async def test_loads_of_shards_reach_the_snapshot_and_enqueue_nothing() -> None:
    env = Env()
    await env.run(60, lambda second: 0.2 if second < 30 else 0.4)
    seen = observe(env.state, HOST)
    assert seen is not None
    assert seen.scaling.loads == {0: 300}
    assert env.enqueued == []


async def test_homogeneous_host_is_not_scaled() -> None:
    env = Env(allocation=None)
    await env.run(60, lambda _: 6.0)
    assert (env.copies, env.enqueued, env.state.scaling) == (None, [], {})


async def test_host_is_not_scaled_while_its_allocation_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscaler, "serves_shards", lambda: False)
    env = Env()
    await env.run(60, lambda _: 6.0)
    assert (env.copies, env.enqueued) == (None, [])


async def test_traffic_of_the_pod_of_another_host_does_not_count() -> None:
    env = Env()
    env.state.traffic["u2"] = interval(env.now, a=6.0)
    await env.autoscaler.tick()
    assert env.copies is None


async def test_decisions_about_a_host_that_is_gone_are_dropped() -> None:
    env = Env()
    await env.run(60, lambda _: 6.0)
    env.state.update_host(make.host_object(), None)
    await env.autoscaler.tick()
    assert env.state.scaling == {}


async def test_replica_that_loses_the_lease_drops_its_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscaler, "TICK", 0.001)
    env = Env()
    env.state.traffic["u1"] = interval(env.now, a=6.0)
    task = asyncio.create_task(env.autoscaler.run())
    await eventually(lambda: env.copies)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert env.state.scaling == {}
