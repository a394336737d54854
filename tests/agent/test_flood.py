"""A flood of requests at the agent's port. `tests.tenants.test_agent_flood` has the readiness probe beside it."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from manyserve.http_server import ALL, HttpServer
from manyserve.prometheus import METRICS_SECONDS, MetricsPage, new_registry
from tests.agent.support import DROPPED_STREAMS
from tests.support.clock import FakeClock
from tests.support.connections import ADDRESS, KUBELET, status, unlimited
from tests.support.eventually import eventually

pytestmark = DROPPED_STREAMS

FLOOD = 1500


async def test_metrics_are_rendered_once_for_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rendered = FakeClock(), list[object]()

    def render(registry: object) -> bytes:
        rendered.append(registry)
        return b"x"

    monkeypatch.setattr("manyserve.prometheus.generate_latest", render)
    page = MetricsPage(new_registry(), clock)
    for _ in range(FLOOD):
        assert page.response().body == b"x"
    assert len(rendered) == 1
    clock.now += METRICS_SECONDS
    page.response()
    assert len(rendered) == 2


async def test_http_server_closes_the_oldest_connections_of_the_busiest_client() -> None:
    app, cancelled = web.Application(), 0

    async def wait(_: web.Request) -> web.Response:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        finally:
            cancelled += 1
        return web.Response()

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/wait", wait)
    app.router.add_get("/", answer)
    server = HttpServer(app, 0, host=ALL, connections=100)
    port = await server.start()
    async with unlimited() as attacker, unlimited(KUBELET) as operator:
        poll = asyncio.create_task(status(operator, f"http://{ADDRESS}:{port}/wait"))
        flood = [asyncio.create_task(status(attacker, f"http://{ADDRESS}:{port}/wait")) for _ in range(300)]
        await eventually(lambda: sum(task.done() for task in flood) >= 190)
        assert not poll.done(), "another client keeps its connection"
        assert await status(operator, f"http://{ADDRESS}:{port}/") == 200
        await eventually(lambda: cancelled >= 190, "requests of closed connections end")
        for task in (*flood, poll):
            task.cancel()
        await asyncio.wait([*flood, poll])
    await server.stop()
