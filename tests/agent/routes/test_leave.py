"""An unload waits for the routers, in a whole agent with a fake model server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from manyserve.agent.http_api import application
from manyserve.agent.reconcile import Observed, OnDisk, ServerModel, ServerState, Step, plan
from manyserve.agent.routes import routers, routing
from manyserve.agent.routes.handlers import Poll, read_poll
from manyserve.api.routes import Routes, read_routes
from tests.agent.support import DROPPED_STREAMS, Pod, entry, fake_pod
from tests.support.eventually import eventually

pytestmark = DROPPED_STREAMS
Client = TestClient[Any, Any]


@pytest.fixture
async def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pod]:
    """Return a pod with routers, started with the models a and b; its bounds are short."""
    monkeypatch.setattr(routing, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(routers, "START_SECONDS", 0.0)
    monkeypatch.setattr(routers, "BOUND_SECONDS", 2.0)
    async with fake_pod(tmp_path, routers=True) as pod:
        await pod.running("a", "b")
        yield pod


@pytest.fixture
async def client(pod: Pod) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(pod.agent, pod.context))) as client:
        yield client


async def poll(client: Client, router: str = "r1", **query: str | float) -> Routes:
    answer = await client.get("/routes", params={"router": router} | {key: str(each) for key, each in query.items()})
    assert answer.status == 200, await answer.text()
    return read_routes(await answer.read())


async def leaving(pod: Pod, client: Client) -> Routes:
    """Remove the model a, and return the routes in which it leaves."""
    await poll(client)
    pod.config.write(entry("b"))
    return await eventually(lambda: _if_leaving(client))  # type: ignore[no-any-return]


async def _if_leaving(client: Client) -> Routes | None:
    routes = await poll(client)
    return routes if (routes.models or {}).get("a") == "Leaving" else None


async def _has_routes(client: Client, routes: dict[str, str]) -> bool:
    return (await poll(client)).models == routes


async def test_unload_waits_for_the_acknowledgement(pod: Pod, client: Client) -> None:
    routes = await leaving(pod, client)
    await pod.polled()
    assert "unload a" not in pod.triton.calls
    await poll(client, instance=routes.instance, seen=routes.revision)
    await eventually(lambda: "unload a" in pod.triton.calls)
    await eventually(lambda: not (pod.root / "models" / "a").exists())
    await eventually(lambda: _has_routes(client, {"b": "Loaded"}))


async def test_acknowledgement_of_another_instance_does_not_count(pod: Pod, client: Client) -> None:
    routes = await leaving(pod, client)
    await poll(client, instance="another", seen=routes.revision)
    await pod.polled()
    assert "unload a" not in pod.triton.calls


async def test_router_without_acknowledgement_delays_one_unload(pod: Pod, client: Client) -> None:
    await leaving(pod, client)
    async with asyncio.timeout(30):
        while "unload a" not in pod.triton.calls:
            await poll(client, have=0)
    pod.config.write()
    started = pod.context.clock()
    await eventually(lambda: "unload b" in pod.triton.calls)
    assert pod.context.clock() - started < 2.0, "a lagging router is not waited for"


async def test_model_that_is_desired_again_while_it_leaves_is_not_unloaded(pod: Pod, client: Client) -> None:
    await leaving(pod, client)
    pod.config.write(entry("a"), entry("b"))
    await pod.shows(a="Loaded", b="Loaded")
    routes = await poll(client)
    assert routes.models == {"a": "Loaded", "b": "Loaded"}
    await poll(client, instance=routes.instance, seen=routes.revision)
    await pod.polled()
    assert "unload a" not in pod.triton.calls


async def test_ended_router_is_not_waited_for(pod: Pod, client: Client) -> None:
    await leaving(pod, client)
    assert (await client.delete("/routes", params={"router": "r1"})).status == 204
    await eventually(lambda: "unload a" in pod.triton.calls)


async def test_long_poll_answers_at_a_change_and_after_its_wait(pod: Pod, client: Client) -> None:
    first = await poll(client)
    assert (await poll(client, instance=first.instance, have=first.revision, wait=0.01)).models is None
    waiting = asyncio.create_task(poll(client, instance=first.instance, have=first.revision, wait=10))
    pod.config.write(entry("b"))
    async with asyncio.timeout(5):
        assert (await waiting).models == {"a": "Leaving", "b": "Loaded"}


async def test_report_says_which_models_all_routers_have(pod: Pod, client: Client) -> None:
    assert pod.model("a").routed is False
    routes = await poll(client)
    await poll(client, instance=routes.instance, seen=routes.revision)
    await eventually(lambda: pod.model("a").routed and pod.model("b").routed)
    await poll(client, "r2")
    await eventually(lambda: pod.model("a").routed is False, "the second router has not seen it")
    await client.delete("/routes", params={"router": "r2"})
    await eventually(lambda: pod.model("a").routed)


async def test_agent_answers_503_until_it_has_read_the_index(tmp_path: Path) -> None:
    async with fake_pod(tmp_path, routers=True) as pod:
        pod.triton.dead = True
        await pod.start()
        async with TestClient(TestServer(application(pod.agent, pod.context))) as client:
            assert (await client.get("/routes?router=r1")).status == 503
            pod.triton.dead = False
            pod.config.write()
            await eventually(lambda: pod.context.routing.table.revision)
            assert (await poll(client)).models == {}


async def test_too_many_routers_are_refused(client: Client) -> None:
    for number in range(routers.MAX_ROUTERS):
        await poll(client, f"r{number}")
    assert (await client.get("/routes?router=one-more")).status == 429


@pytest.mark.parametrize("query", ["", "router=a/b", "router=a&have=-1", "router=a&seen=1e3", "router=a&wait=nan"])
async def test_invalid_polls_are_refused(client: Client, query: str) -> None:
    assert (await client.get(f"/routes?{query}")).status == 400


async def test_agent_without_routers_has_no_routes_and_unloads_at_once(tmp_path: Path) -> None:
    async with fake_pod(tmp_path) as pod:
        await pod.running("a")
        async with TestClient(TestServer(application(pod.agent, pod.context))) as client:
            assert (await client.get("/routes?router=r1")).status == 404
        pod.config.write()
        await eventually(lambda: "unload a" in pod.triton.calls)
        assert pod.context.routing.table.revision == 0
        assert b"routed" not in pod.agent.publisher.body()


@pytest.mark.parametrize("state", [ServerState.READY, ServerState.UNAVAILABLE])
def test_plan_leaves_the_routers_before_an_unload(state: ServerState) -> None:
    def steps(*, has_routers: bool) -> tuple[Step, ...]:
        observed = Observed({}, {"a": OnDisk("x", loaded=True)}, {"a": ServerModel(state)}, has_routers=has_routers)
        return plan(observed, 0)["a"]

    without = steps(has_routers=False)
    assert Step.LEAVE not in without
    assert steps(has_routers=True) == ((Step.LEAVE, *without) if state is ServerState.READY else without)


def test_revisions_of_another_instance_count_as_0() -> None:
    query = {"router": "a", "instance": "i", "have": "3", "seen": "2", "wait": "99"}
    assert read_poll(query, "i") == Poll("a", 3, 2, 10.0)
    assert read_poll(query, "j") == Poll("a", 0, 0, 10.0)
