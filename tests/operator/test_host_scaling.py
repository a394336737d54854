"""Autoscaler of a homogeneous host: the traffic of all models decides about the replicas of the Deployment."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from manyserve.api.names import Key, deployment
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from manyserve.operator.autoscaler import Autoscaler
from manyserve.plan.observed import Child
from manyserve.plan.plan import plan
from manyserve.plan.sharding.scaling import SCALE_DOWN_STABILIZATION, STABLE_WINDOW, TICK
from tests.operator.test_agent_poller import pod
from tests.support import make, replicas
from tests.support.traffic import interval

HOST = Key("default", "triton-mms")
HOUR = 3600


class Env:
    """An autoscaler of one host with a pod and a Deployment, which follows the plans, and a clock that tests move."""

    def __init__(self, **predictor: Any) -> None:
        self.enqueued: list[Key] = []
        self.events: list[str] = []
        self.now = 1000.0
        self.state = ClusterState(lambda _key: None)
        self.state.config = make.config()
        fields: dict[str, Any] = {"scaleMetric": "concurrency", "maxReplicas": 8} | predictor
        self.state.update_host(None, make.host_object(**fields))
        replicas.add_chain(self.state)
        self.state.update_pod(None, pod())
        self.follow()
        self.events.clear()
        self.restart()

    def restart(self) -> None:
        """Begin as a new leader."""
        self.state.scaling.clear()
        self.autoscaler = Autoscaler(self.state, self.enqueued.append, lambda: self.now)

    @property
    def replicas(self) -> int | None:
        (deployment,) = (each for child, each in self.state.children[HOST].items() if child.kind == "Deployment")
        number: int | None = deployment["spec"].get("replicas")
        return number

    def follow(self) -> None:
        """Carry out the applies of a plan."""
        observed = observe(self.state, HOST)
        assert observed is not None
        todo = plan(observed, make.NOW)
        self.events += [each.message for each in todo.events if each.reason in ("ScaledUp", "ScaledDown")]
        for each in todo.applies:
            if each.manifest["kind"] == "Deployment":
                meta = {"uid": "uid-deployment", "resourceVersion": "1"} | each.manifest["metadata"]
                self.state.update_child(None, each.manifest | {"metadata": meta})

    async def run(self, seconds: int, in_flight: Callable[[float], float | None]) -> list[tuple[float, int | None]]:
        """Tick and plan for a simulated time, and return each change: the second from its begin, and the replicas."""
        begin, found = self.now, []
        for _ in range(seconds // TICK):
            before, traffic = self.replicas, in_flight(self.now - begin)
            self.state.traffic.clear()
            if traffic is not None:
                self.state.traffic["u1"] = interval(self.now, a=traffic / 2, b=traffic / 2)
            await self.autoscaler.tick()
            self.follow()
            if self.replicas != before:
                found.append((self.now - begin, self.replicas))
            self.now += TICK
        return found


async def test_step_of_the_traffic_gives_replicas_within_seconds_and_their_end_waits() -> None:
    env = Env()
    await env.run(600, lambda _: 0.5)
    assert (env.replicas, env.enqueued) == (1, [])
    up = await env.run(600, lambda _: 6.0)
    assert up[-1][1] == 6
    assert up[-1][0] <= 2 * TICK
    assert env.enqueued == [HOST] * len(up)
    assert env.events[-1].endswith("to 6 replicas: 6 requests in flight on average of 10 s, target 1 a replica")
    down = await env.run(HOUR, lambda _: 0.5)
    assert [number for _, number in down] == [5, 4, 3, 2, 1], "as the average of the stable window falls"
    assert SCALE_DOWN_STABILIZATION <= down[0][0] < down[-1][0] <= SCALE_DOWN_STABILIZATION + STABLE_WINDOW
    assert env.events[-1].startswith("2 to 1 replicas: ")


async def test_noise_at_80_percent_of_the_target_changes_no_replicas_for_an_hour() -> None:
    env, random = Env(scaleTarget=4), Random(3)
    assert await env.run(HOUR, lambda _: max(0.0, random.gauss(3.2, 0.6))) == []
    assert env.enqueued == []


async def test_replicas_stay_within_their_bounds() -> None:
    env = Env(minReplicas=2, maxReplicas=3)
    assert env.replicas == 2
    await env.run(60, lambda _: 50.0)
    assert env.replicas == 3
    await env.run(HOUR, lambda _: 0.0)
    assert env.replicas == 2


async def test_replicas_stay_while_the_traffic_is_unknown() -> None:
    env = Env()
    await env.run(60, lambda _: 6.0)
    assert await env.run(HOUR, lambda _: None) == []
    assert env.replicas == 6


async def test_new_leader_begins_with_the_replicas_that_run() -> None:
    env = Env()
    await env.run(60, lambda _: 6.0)
    env.restart()
    env.follow()
    assert env.replicas == 6
    down = await env.run(HOUR, lambda _: 0.5)
    assert down[0][0] >= SCALE_DOWN_STABILIZATION - TICK


@pytest.mark.parametrize("predictor", [{"scaleMetric": "cpu"}, {"maxReplicas": 1}], ids=["cpu", "fixed"])
async def test_host_without_a_metric_of_traffic_is_not_scaled_by_it(predictor: dict[str, Any]) -> None:
    env = Env(**predictor)
    assert await env.run(60, lambda _: 6.0) == []
    assert (env.enqueued, env.state.scaling) == ([], {})


async def test_host_with_another_metric_of_traffic_begins_a_history() -> None:
    env = Env(scaleTarget=10)
    await env.run(600, lambda _: 60.0)
    assert env.replicas == 6
    env.state.update_host(None, make.host_object(scaleMetric="rps", maxReplicas=8, scaleTarget=1))
    await env.run(TICK, lambda _: 60.0)
    assert env.state.scaling[HOST].decisions[""].average == 4000, "two models with 10 requests in 5 s"


async def test_host_of_the_same_name_begins_without_the_decisions_of_the_earlier_one() -> None:
    env = Env()
    await env.run(60, lambda _: 6.0)
    host = make.host_object(scaleMetric="concurrency", maxReplicas=8)
    env.state.update_host(None, host | {"metadata": host["metadata"] | {"uid": "another"}})
    observed = observe(env.state, HOST)
    assert observed is not None
    assert observed.decided_replicas is None, "before the next decision"
    await env.autoscaler.tick()
    assert env.state.scaling[HOST].decisions == {}, "its pods have no traffic yet"


async def test_host_with_an_autoscaler_of_a_user_is_not_scaled_on_traffic() -> None:
    env = Env()
    await env.run(60, lambda _: 6.0)
    env.state.autoscalers[HOST]["keda"] = None
    await env.run(60, lambda _: 20.0)
    assert env.state.scaling == {}


async def test_refused_deployment_sends_no_event_about_its_replicas() -> None:
    env = Env()
    env.state.traffic["u1"] = interval(env.now, a=6.0)
    await env.autoscaler.tick()
    env.state.failures[HOST] = {Child("Deployment", deployment(HOST.name)): "quota"}
    env.follow()
    assert env.events == []
