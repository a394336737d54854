"""Router poller: reports of routers reach the cluster state, and are dropped when a router is unreachable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.api import names
from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from manyserve.operator import router_poller
from manyserve.operator.poll_client import PollIntervals
from manyserve.operator.router_poller import RouterPoller
from manyserve.plan.rules import allocation
from tests.support import make, replicas
from tests.support.eventually import eventually

QUICK = PollIntervals(wait=1, pause=0.001, retry=Backoff(base=0.01, cap=0.02), drop_after=0.1)
HOST = Key("default", "triton-mms")


class Routers:
    """A poller, the state that it fills, and the report of all routers."""

    def __init__(self) -> None:
        self.report: dict[str, Any] = {"instance": "i", "revision": 1, "ready": True, "models": ["a"]}
        self.polls: list[dict[str, str]] = []
        self.enqueued: list[Key] = []
        self.state = ClusterState(self.enqueued.append)
        self.body: bytes | None = None

    async def status(self, request: web.Request) -> web.Response:
        self.polls.append(dict(request.query))
        return web.json_response(self.report) if self.body is None else web.Response(body=self.body)

    def led(self) -> set[str] | None:
        seen = observe(self.state, HOST)
        return None if seen is None else set(seen.led_by_all)


def owned(kind: str, name: str, uid: str, owner: tuple[str, str], labels: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": HOST.namespace, "uid": uid, "resourceVersion": "1", "labels": labels}
    return {"kind": kind, "metadata": metadata | {"ownerReferences": replicas.controlled_by(*owner)}}


@pytest.fixture
async def routers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Routers]:
    """Return routers with a chain of controllers from their pod to the host."""
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))
    env = Routers()
    app = web.Application()
    app.router.add_get("/status", env.status)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.01)
    state = env.state
    state.config = make.config()
    state.update_host(None, make.host_object(allocation=HETEROGENEOUS))
    deployment, labels = names.router(HOST.name), names.labels(HOST.name)
    state.update_child(None, owned("Deployment", deployment, "uid-d", ("InferenceService", f"uid-{HOST.name}"), labels))
    of_pods = names.router_selector(HOST.name) | {"pod-template-hash": "h"}
    state.update_replica_set(None, owned("ReplicaSet", "rs", "uid-rs", ("Deployment", "uid-d"), of_pods))
    poller = RouterPoller(state, env.enqueued.append, QUICK, port=server.port or 0)
    state.on_replicas = poller.update_host
    await poller.open()
    state.update_pod(None, pod())
    yield env
    assert poller.healthy
    await poller.close()
    assert not state.router_reports
    await server.close()


def pod(**metadata: Any) -> dict[str, Any]:
    labels = names.router_selector(HOST.name) | {"pod-template-hash": "h"}
    made = owned("Pod", "router-1", "u1", ("ReplicaSet", "uid-rs"), labels)
    ready = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "podIP": "127.0.0.1", "conditions": ready}
    return made | {"metadata": made["metadata"] | metadata, "status": status}


async def test_poller_brings_the_models_of_routers_into_the_snapshot(routers: Routers) -> None:
    await eventually(lambda: routers.led() == {"a"})
    assert HOST in routers.enqueued
    routers.report |= {"revision": 2, "models": ["a", "b"]}
    await eventually(lambda: routers.led() == {"a", "b"})
    assert routers.polls[1] == {"after": "1", "instance": "i", "wait": "1"}


async def test_pods_of_routers_are_no_replicas(routers: Routers) -> None:
    seen = observe(routers.state, HOST)
    assert seen is not None
    assert (seen.pods, [each["metadata"]["name"] for each in seen.router_pods]) == ((), ["router-1"])


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b'{"instance": "i", "revision": 0, "ready": true}',
        b'{"instance": "i", "revision": 2, "ready": true, "models": ["' + b"x" * 254 + b'"]}',
    ],
    ids=["no report", "no revision", "a long name"],
)
async def test_poller_drops_the_report_of_a_router_with_a_malformed_response(routers: Routers, body: bytes) -> None:
    await eventually(lambda: routers.led() == {"a"})
    routers.body = body
    await eventually(lambda: routers.led() == set())


async def test_poller_reads_no_response_above_the_limit(routers: Routers, monkeypatch: pytest.MonkeyPatch) -> None:
    await eventually(lambda: routers.led() == {"a"})
    monkeypatch.setattr(router_poller, "MAX_BYTES", 1000)
    routers.body = b" " * 2000
    await eventually(lambda: routers.led() == set())


async def test_poller_stops_for_a_router_in_deletion(routers: Routers) -> None:
    await eventually(lambda: routers.led() == {"a"})
    routers.state.update_pod(pod(), pod(deletionTimestamp="2026-01-01T00:00:00Z"))
    assert not routers.state.router_reports


async def test_router_that_is_not_ready_by_its_report_leads_no_model(routers: Routers) -> None:
    await eventually(lambda: routers.led() == {"a"})
    routers.report |= {"revision": 2, "ready": False}
    await eventually(lambda: routers.led() == set())
