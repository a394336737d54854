"""Faults of routers under load, with real Envoys: requests that are lost, and requests for models that are not loaded.

A request is misrouted when a pod gets it without the model. There are none in any test here. The long bounds of the
agents are shortened together, in the same order: a router's liveness probe acts before an agent stops to wait.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import pytest

from manyserve.agent.routes import routers
from tests.router.load import load, move, moves
from tests.router.rig import LIMIT, POLL, Rig
from tests.support.eventually import eventually

pytestmark = pytest.mark.router

MODELS = [f"m{number}" for number in range(24)]
SILENCE, BOUND = 6.0, 7.0
"""Seconds of the agents' bounds in these tests."""


@pytest.fixture(autouse=True)
def short_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routers, "START_SECONDS", 1.0)
    monkeypatch.setattr(routers, "SILENCE_SECONDS", SILENCE)
    monkeypatch.setattr(routers, "BOUND_SECONDS", BOUND)


@pytest.fixture
async def two(pods: Rig) -> AsyncIterator[Rig]:
    """Return a rig with two routers, and each of `MODELS` on one pod."""
    for number, model in enumerate(MODELS):
        pods.pods[number % 3].load(model)
    await asyncio.gather(pods.add_router(), pods.add_router())
    yield pods
    assert pods.misrouted() == []


def places() -> dict[str, int]:
    return {model: number % 3 for number, model in enumerate(MODELS)}


async def test_moves_under_load_lose_and_misroute_no_request(two: Rig) -> None:
    async with load(two, MODELS, two.routers) as result:
        moved = await moves(two, MODELS, 3, places())
    assert (moved, result.lost(), two.misrouted()) == (72, 0, [])
    assert result.sent > 1000


async def test_unload_waits_for_both_routers(two: Rig) -> None:
    two.routers[1].running["program"].send_signal(signal.SIGSTOP)
    two.pods[1].load("m0")
    await two.answers("m0")
    leaving = asyncio.create_task(two.pods[0].unload("m0"))
    await asyncio.sleep(2 * 1.0)
    assert "m0" in two.pods[0].loaded, "the frozen router has not acknowledged it"
    two.routers[1].running["program"].send_signal(signal.SIGCONT)
    async with asyncio.timeout(LIMIT):
        await leaving


async def test_program_killed_and_started_again_loses_no_request(two: Rig) -> None:
    async with load(two, MODELS, two.routers) as result:
        await two.routers[0].kill("program")
        moving = asyncio.create_task(moves(two, MODELS[:3], 1, places()))
        await asyncio.sleep(1)
        assert await two.readiness(two.routers[0]) == 0
        assert not moving.done(), "the unloads wait for the new program"
        await two.routers[0].start_program()
        await two.is_ready(two.routers[0])
        await moving
        await moves(two, MODELS[3:6], 1, places())
    assert (result.lost(), two.misrouted()) == (0, [])


async def test_program_frozen_for_less_than_the_bound_misroutes_no_request(two: Rig) -> None:
    async with load(two, MODELS, two.routers) as result:
        moving = asyncio.create_task(moves(two, MODELS, 1, places()))
        two.routers[0].running["program"].send_signal(signal.SIGSTOP)
        await asyncio.sleep(SILENCE / 2)
        two.routers[0].running["program"].send_signal(signal.SIGCONT)
        await moving
    assert (result.lost(), two.misrouted()) == (0, [])


async def test_killed_router_is_not_waited_for_longer_than_its_silence(two: Rig) -> None:
    healthy, dead = two.routers
    async with load(two, MODELS, two.routers) as result:
        for name in ("envoy", "program"):
            await dead.kill(name)
        started = asyncio.get_running_loop().time()
        two.pods[1].load("m0")
        await two.answers("m0", router=healthy)
        await two.pods[0].unload("m0")
        assert asyncio.get_running_loop().time() - started < SILENCE + LIMIT
        assert result.lost(healthy) == 0
        await dead.start()
        await two.is_ready(dead)
    assert result.lost(healthy) == 0
    assert two.misrouted() == []


async def test_both_routers_restarted_are_ready_with_all_routes(two: Rig) -> None:
    for router in two.routers:
        for name in ("program", "envoy"):
            await router.kill(name)
    await asyncio.gather(*(router.start() for router in two.routers))
    for router in two.routers:
        await two.is_ready(router)
        assert {await two.infer(model, router) for model in MODELS} == {200}


async def test_envoy_without_program_keeps_its_port_closed(pods: Rig) -> None:
    router = await pods.add_router(start=False)
    await router.start_envoy()
    await eventually((router.folder / "admin.sock").exists, limit=LIMIT)
    await asyncio.sleep(1)
    assert await pods.infer("a") == 0
    await router.start_program()
    await pods.is_ready(router)
    assert await pods.infer("a") == 200


async def test_router_is_not_ready_before_each_agent_has_answered(pods: Rig) -> None:
    await pods.pods[2].stop_agent()
    router = await pods.add_router(start=False)
    await router.start()
    await eventually(lambda: answered(pods), limit=LIMIT, pause=POLL)
    assert await pods.readiness(router) == 503
    assert (await pods.status())["problem"] == "the agents have not answered yet"
    assert await pods.infer("a") == 0
    await pods.pods[2].start_agent()
    await pods.is_ready(router)
    assert await pods.infer("c") == 200


async def answered(rig: Rig) -> bool:
    try:
        agents = (await rig.status())["agents"]
    except OSError:
        return False
    return [bool(each["instance"]) for each in agents.values()].count(True) == 2


async def test_silent_agent_loses_its_endpoints(rig: Rig) -> None:
    await rig.pods[0].stop_agent()
    await eventually(lambda: is_unavailable(rig, "a"), "a has no endpoint", LIMIT, POLL)
    assert {await rig.infer("both") for _ in range(20)} == {200}
    await rig.pods[0].start_agent()
    await rig.answers("a")


async def is_unavailable(rig: Rig, model: str) -> bool:
    return await rig.infer(model) == 503


async def test_router_without_any_agent_keeps_its_routes(rig: Rig) -> None:
    """All agents are silent, so the fault is more likely the router's own network."""
    await asyncio.gather(*(pod.stop_agent() for pod in rig.pods))
    await asyncio.sleep(7)
    assert [await rig.infer(model) for model in ("a", "b", "c")] == [200, 200, 200]
    for pod in rig.pods:
        await pod.start_agent()
        assert [await rig.infer(model) for model in ("a", "b", "c")] == [200, 200, 200]


async def test_restarted_agent_unloads_nothing_before_it_knows_its_routers(two: Rig) -> None:
    async with load(two, MODELS, two.routers) as result:
        pod = two.pods[0]
        pod.new_agent()
        for model in MODELS[:9:3]:
            await move(model, pod, two.pods[1])
    assert (result.lost(), two.misrouted()) == (0, [])


async def test_pod_that_is_gone_loses_its_endpoints_and_a_new_one_gets_them(rig: Rig) -> None:
    rig.write_pods(*rig.pods[:2])
    await eventually(lambda: is_unavailable(rig, "c"), "c has no endpoint", LIMIT, POLL)
    rig.write_pods(*rig.pods)
    await rig.answers("c")


async def test_invalid_pods_change_nothing(rig: Rig) -> None:
    for text in ("{", json.dumps([{**rig.pods[0].entry, "ip": "not-an-address"}])):
        rig.pods_file.write_text(text)
        await eventually(lambda: has_pods_error(rig), limit=LIMIT, pause=POLL)
        assert await rig.infer("a") == 200
        rig.write_pods(*rig.pods)
        await eventually(lambda: has_no_pods_error(rig), limit=LIMIT, pause=POLL)


async def has_pods_error(rig: Rig) -> bool:
    return "cannot be used" in (await rig.status())["podsError"]


async def has_no_pods_error(rig: Rig) -> bool:
    return not (await rig.status())["podsError"]


async def test_stopped_router_ends_after_its_requests_and_says_good_bye(two: Rig) -> None:
    router = two.routers[0]
    two.pods[0].chunk_seconds = 0.3
    async with two.http.post(f"{router.url}/v2/models/m0/generate_stream", data=b"{}") as answer:
        await answer.content.readuntil(b"\n\n")
        router.running["program"].send_signal(signal.SIGTERM)
        await eventually(lambda: is_unready(two), limit=LIMIT, pause=POLL)
        assert router.running["envoy"].returncode is None
        assert (await answer.read()).count(b"data: ") == 4
    async with asyncio.timeout(LIMIT):
        assert await router.running["envoy"].wait() == 0
        assert await router.running["program"].wait() == 0
    started = asyncio.get_running_loop().time()
    await move("m1", two.pods[1], two.pods[2])
    assert asyncio.get_running_loop().time() - started < SILENCE, "the agents do not wait for the ended router"


async def is_unready(rig: Rig) -> bool:
    return await rig.readiness(rig.routers[0]) != 200


async def test_server_sent_events_complete_while_models_move(two: Rig) -> None:
    for pod in two.pods:
        pod.chunk_seconds = 0.5

    async def stream(model: str) -> int:
        async with two.http.post(f"{two.router.url}/v2/models/{model}/generate_stream", data=b"{}") as answer:
            return (await answer.read()).count(b"data: ")

    streams = asyncio.gather(*(stream(model) for model in MODELS))
    await asyncio.sleep(0.2)
    await moves(two, MODELS, 1, places())
    assert await streams == [5] * len(MODELS)
