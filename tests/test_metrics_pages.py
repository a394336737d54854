"""Pages of the metrics of all programs: a flood of requests is answered with one rendering."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import prometheus_client
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from manyserve.agent import http_api
from manyserve.operator.health import HealthServer
from manyserve.router import status
from manyserve.router.program import Router
from manyserve.router.settings import RouterSettings
from manyserve.router.stop import Stop
from manyserve.webhook.handlers import plain_app
from tests.agent.support import fake_pod
from tests.support.make import host_object
from tests.support.programs import free_ports
from tests.webhook.reviews import cache_of
from tests.webhook.serving import serving

REQUESTS = 100
Serving = Callable[[Path], AbstractAsyncContextManager[str]]
"""Runs the metrics' port of a program in a folder, and yields its address."""


@asynccontextmanager
async def operator(_: Path) -> AsyncIterator[str]:
    server, (health, metrics) = HealthServer(lambda: None, lambda: None), free_ports(2)
    await server.start(health, metrics)
    yield f"http://127.0.0.1:{metrics}"
    await server.stop()


@asynccontextmanager
async def webhook(_: Path) -> AsyncIterator[str]:
    async with serving(cache_of(host_object())) as running, listening(plain_app(running.handlers)) as url:
        yield url


@asynccontextmanager
async def agent(folder: Path) -> AsyncIterator[str]:
    async with fake_pod(folder) as pod:
        pod.config.write()
        await pod.start()
        async with listening(http_api.application(pod.agent, pod.context)) as url:
            yield url


@asynccontextmanager
async def router(folder: Path) -> AsyncIterator[str]:
    settings = RouterSettings(router="r", run_dir=folder)
    running = Router(settings, time.monotonic)
    async with listening(status.application(running, Stop(running.envoy, settings), time.monotonic)) as url:
        yield url
    await running.close()


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    async with TestServer(app) as server:
        yield str(server.make_url(""))


@pytest.mark.parametrize("program", [operator, webhook, agent, router])
async def test_program_renders_its_metrics_once_for_many_requests(
    program: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = 0

    def render(registry: CollectorRegistry) -> bytes:
        nonlocal rendered
        rendered += 1
        return prometheus_client.generate_latest(registry)

    monkeypatch.setattr("manyserve.prometheus.METRICS_SECONDS", 600.0)
    monkeypatch.setattr("manyserve.prometheus.generate_latest", render)
    async with program(tmp_path) as url, aiohttp.ClientSession(url) as client:
        for _ in range(REQUESTS):
            async with client.get("/metrics") as response:
                assert "manyserve_build_info{" in await response.text()
    assert rendered == 1
