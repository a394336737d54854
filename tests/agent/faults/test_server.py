"""Faults of the model server: all models are loaded again without a config change."""

import asyncio

import pytest
from aiohttp import web

from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import LIMIT, eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]


async def test_server_restart_reloads_models_without_config_change(pod: Pod) -> None:
    await pod.running("a", "b")
    gets = len(pod.bucket.gets)
    await pod.server_stops()
    await eventually(lambda: not pod.report.server_ready)
    await pod.shows(a="Loading", b="Loading")
    await pod.server_starts()
    await pod.shows(a="Loaded", b="Loaded")
    assert len(pod.bucket.gets) == gets, "nothing is downloaded again"


async def test_server_restart_between_two_polls_is_noticed(pod: Pod) -> None:
    await pod.running("a")
    pod.triton.forget()
    await eventually(lambda: pod.triton.loads("a") == 2)
    await pod.shows(a="Loaded")


@pytest.mark.parametrize("status", [503, 409, 404])
async def test_server_with_errors_for_a_while_loses_no_model(pod: Pod, status: int) -> None:
    await pod.running("a")
    is_down = True

    @web.middleware
    async def refusing(request: web.Request, handler: object) -> web.StreamResponse:
        if is_down:
            return web.Response(status=status, text="not now")
        response: web.StreamResponse = await handler(request)  # type: ignore[operator]
        return response

    await pod.server_stops()
    await pod.server_starts(refusing)
    await eventually(lambda: not pod.report.server_ready)
    pod.bucket.put("b")
    pod.config.write(entry("a"), entry("b"))
    await pod.shows(a="Loading", b="Loading")
    is_down = False
    await pod.shows(a="Loaded", b="Loaded")
    assert sorted(pod.triton.served) == ["a", "b"]


async def test_rejected_load_is_retried(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.triton.refusing["a"] = "the server is shutting down"
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="LoadFailed")
    assert pod.model("a").message == "the server is shutting down"
    assert pod.model("a").next_try
    del pod.triton.refusing["a"]
    await pod.shows(a="Loaded")


async def test_hanging_loads_do_not_block_other_models(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"load_seconds": 1.0})
    for name in ("h1", "h2", "h3", "z1", "z2"):
        pod.bucket.put(name)
    pod.triton.hanging |= {"h1", "h2", "h3"}
    pod.config.write(*(entry(name) for name in ("h1", "h2", "h3", "z1", "z2")))
    await pod.start()
    await pod.shows(h1="LoadFailed", h2="LoadFailed", h3="LoadFailed", z1="Loaded", z2="Loaded")
    assert "did not finish the load" in pod.model("h1").message
    assert pod.report.settled


async def test_model_unknown_to_server_is_removed_without_error(pod: Pod) -> None:
    await pod.running("a", "b")
    await pod.stop()
    pod.triton.forget()
    pod.config.write(entry("b"))
    await pod.start()
    await pod.shows(b="Loaded")
    await eventually(lambda: [path.name for path in (pod.root / "models").iterdir()] == ["b"])
    await asyncio.wait_for(pod.stop(), LIMIT)
    assert not pod.triton.torn
