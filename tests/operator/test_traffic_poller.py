"""Traffic poller: the counters of a heterogeneous host's pods reach the cluster state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import count

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster.state import ClusterState
from manyserve.operator.poll_client import PollIntervals
from manyserve.operator.traffic_poller import TrafficPoller
from manyserve.plan.rules import allocation
from manyserve.plan.sharding.traffic import traffic_of
from tests.operator.test_agent_poller import pod
from tests.support import make, replicas
from tests.support.eventually import eventually

QUICK = PollIntervals(wait=1, pause=0.001, retry=Backoff(base=0.01, cap=0.02), drop_after=0.1)
HOST = Key("default", "triton-mms")


class Pods:
    """A state with one pod, with counters that grow by 2 requests at each reading."""

    def __init__(self) -> None:
        self.polls = 0
        self.enqueued: list[Key] = []
        self.status = 200
        self.state = ClusterState(self.enqueued.append)
        self.polled: Callable[[], tuple[int, int]] = lambda: (0, 0)

    async def traffic(self, _: web.Request) -> web.Response:
        self.polls += 1
        if self.status != 200:
            return web.Response(status=self.status, text="the metrics of the model server cannot be read\n")
        models = {"a": {"requests": 2 * self.polls, "busyMicros": 0}}
        return web.json_response({"instance": "i", "counted": True, "models": models})

    def rps(self) -> int | None:
        return traffic_of(self.state.traffic.values(), {"a": "rps"}).get("a")


@pytest.fixture
async def pods(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pods]:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))
    env = Pods()
    app = web.Application()
    app.router.add_get("/traffic", env.traffic)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.01)
    env.state.config = make.config()
    seconds = count()
    poller = TrafficPoller(env.state, QUICK, port=server.port or 0, clock=lambda: float(next(seconds)))
    env.state.on_replicas = poller.update_host
    env.polled = lambda: poller.count(HOST)
    await poller.open()
    yield env
    assert poller.healthy
    await poller.close()
    assert not env.state.traffic
    await server.close()


def add(env: Pods, allocation: str | None) -> None:
    env.state.update_host(None, make.host_object(allocation=allocation))
    replicas.add_chain(env.state)
    env.state.update_pod(None, pod())


async def test_poller_brings_the_traffic_of_pods_into_the_cluster_state(pods: Pods) -> None:
    add(pods, HETEROGENEOUS)
    await eventually(lambda: pods.rps() == 2000)
    assert pods.polled() == (1, 0)
    assert pods.enqueued == [], "the counters change with each request"


async def test_poller_does_not_ask_the_pods_of_a_homogeneous_host(pods: Pods) -> None:
    add(pods, None)
    assert pods.polled() == (0, 0)
    assert pods.rps() is None


async def test_poller_follows_the_metric_of_a_homogeneous_host(pods: Pods) -> None:
    add(pods, None)
    scaled = make.host_object(scaleMetric="rps", maxReplicas=2)
    pods.state.update_host(None, scaled)
    await eventually(lambda: pods.rps() == 2000)
    pods.state.update_host(scaled, make.host_object(maxReplicas=2))
    assert pods.polled() == (0, 0)
    assert pods.rps() is None


async def test_traffic_of_a_pod_without_an_answer_is_not_known(pods: Pods) -> None:
    add(pods, HETEROGENEOUS)
    await eventually(lambda: pods.rps() == 2000)
    pods.status = 503
    await eventually(lambda: pods.rps() is None)
    pods.status = 200
    await eventually(lambda: pods.rps() == 2000)
