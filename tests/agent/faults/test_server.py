"""After any restart or fault of the model server, all models are loaded again without a config change."""

import asyncio

import pytest
from aiohttp import web

from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]


async def test_a_server_that_restarts_gets_its_models_back_without_a_config_change(pod: Pod) -> None:
    await pod.running("a", "b")
    gets = len(pod.bucket.gets)
    await pod.server_stops()
    await eventually(lambda: not pod.agent.board.report.server_ready, limit=30)
    await pod.shows(a="Loading", b="Loading")
    await pod.server_starts()
    await pod.shows(a="Loaded", b="Loaded")
    assert len(pod.bucket.gets) == gets, "nothing is downloaded again"


async def test_a_restart_of_the_server_between_two_looks_is_noticed(pod: Pod) -> None:
    await pod.running("a")
    pod.triton.forget()
    await eventually(lambda: pod.triton.loads("a") == 2, limit=30)
    await pod.shows(a="Loaded")


@pytest.mark.parametrize("status", [503, 409, 404])
async def test_a_server_that_answers_nothing_else_for_a_while_loses_no_model(pod: Pod, status: int) -> None:
    await pod.running("a")
    answering = True

    @web.middleware
    async def refusing(request: web.Request, handler: object) -> web.StreamResponse:
        if answering:
            return web.Response(status=status, text="not now")
        found: web.StreamResponse = await handler(request)  # type: ignore[operator]
        return found

    await pod.server_stops()
    await pod.server_starts(refusing)
    await eventually(lambda: not pod.agent.board.report.server_ready, limit=30)
    pod.bucket.put("b")
    pod.config.write(entry("a"), entry("b"))
    await pod.shows(a="Loading", b="Loading")
    answering = False
    await pod.shows(a="Loaded", b="Loaded")
    assert sorted(pod.triton.served) == ["a", "b"]


async def test_a_load_that_is_refused_with_a_503_is_tried_again(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.triton.refusing["a"] = "the server is shutting down"
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="LoadFailed")
    assert pod.model("a").message == "the server is shutting down"
    assert pod.model("a").next_try
    del pod.triton.refusing["a"]
    await pod.shows(a="Loaded")


async def test_hanging_loads_do_not_stop_the_other_models(pod: Pod) -> None:
    for name in ("h1", "h2", "h3", "z1", "z2"):
        pod.bucket.put(name)
    pod.triton.hanging |= {"h1", "h2", "h3"}
    pod.config.write(*(entry(name) for name in ("h1", "h2", "h3", "z1", "z2")))
    await pod.start()
    await pod.shows(h1="LoadFailed", h2="LoadFailed", h3="LoadFailed", z1="Loaded", z2="Loaded")
    assert "did not finish the load" in pod.model("h1").message
    assert pod.agent.board.report.settled


async def test_a_model_that_the_server_has_forgotten_is_removed_without_an_error(pod: Pod) -> None:
    await pod.running("a", "b")
    await pod.stop()
    pod.triton.forget()
    pod.config.write(entry("b"))
    await pod.start()
    await pod.shows(b="Loaded")
    await eventually(lambda: [path.name for path in (pod.root / "models").iterdir()] == ["b"], limit=30)
    await asyncio.wait_for(pod.stop(), 5)
    assert not pod.triton.torn
