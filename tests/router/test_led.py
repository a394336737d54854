"""Models that a router leads, and its report to the operator."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from manyserve.api.routerreport import RouterReport
from manyserve.router.buckets import BUCKETS, bucket_of
from manyserve.router.led import Led
from manyserve.router.report import ReportPage
from manyserve.router.routes import RouteMap
from tests.support.eventually import eventually

NONE, A, AB = frozenset[str](), frozenset({"a"}), frozenset({"a", "b"})
NEIGHBOUR = next(f"m{number}" for number in range(10_000) if bucket_of(f"m{number}") == bucket_of("a"))
"""A model in the bucket of `a`."""


@pytest.fixture
def routes() -> RouteMap:
    return RouteMap()


def test_model_is_led_when_envoy_has_acknowledged_it(routes: RouteMap) -> None:
    led = Led()
    routes.replace("10.0.0.1", NONE, A)
    led.update(routes, [1] * BUCKETS)
    assert (led.models, led.revision) == (NONE, 0)
    led.update(routes, routes.versions)
    assert (led.models, led.revision) == (A, 1)
    led.update(routes, routes.versions)
    assert led.revision == 1, "nothing has changed"


def test_model_is_not_led_as_soon_as_its_last_endpoint_is_gone(routes: RouteMap) -> None:
    led = Led()
    routes.replace("10.0.0.1", NONE, A)
    routes.replace("10.0.0.2", NONE, A)
    led.update(routes, routes.versions)
    acknowledged = list(routes.versions)
    routes.replace("10.0.0.1", A, NONE)
    led.update(routes, acknowledged)
    assert led.models == A, "the other one answers"
    routes.replace("10.0.0.2", A, NONE)
    led.update(routes, acknowledged)
    assert led.models == NONE


def test_model_stays_led_while_another_one_of_its_bucket_waits(routes: RouteMap) -> None:
    led, both = Led(), frozenset({"a", NEIGHBOUR})
    routes.replace("10.0.0.1", NONE, A)
    led.update(routes, routes.versions)
    acknowledged = list(routes.versions)
    routes.replace("10.0.0.1", A, both)
    led.update(routes, acknowledged)
    assert led.models == A
    led.update(routes, [0] * BUCKETS)
    assert led.models == A, "Envoy is disconnected, and keeps its routes"
    led.update(routes, routes.versions)
    assert led.models == both


class FakeRouter:
    """The parts of a router that its report reads."""

    def __init__(self) -> None:
        self.problem = ""
        self.xds = SimpleNamespace(nack="")
        self.pods_file = SimpleNamespace(hash="p", error="")
        self.state = SimpleNamespace(led=SimpleNamespace(models=AB, revision=1), views={})
        self.changed = asyncio.Event()
        self.waits = 0

    async def readiness_problem(self) -> str:
        return self.problem

    async def wait_for_change(self, seconds: float) -> None:
        self.waits += 1
        await self.changed.wait()


@pytest.fixture
def router() -> FakeRouter:
    return FakeRouter()


async def ask(router: FakeRouter, *polls: dict[str, str], clock: Any = lambda: 0.0) -> list[RouterReport]:
    app = web.Application()
    app.router.add_get("/status", ReportPage(router, clock).get)  # type: ignore[arg-type]
    async with TestClient(TestServer(app)) as client:
        answers, instance = [], ""
        for poll in polls:
            params = poll | ({"instance": instance} if poll and "instance" not in poll else {})
            async with client.get("/status", params=params) as answer:
                assert answer.status == 200
                answers.append(RouterReport.model_validate_json(await answer.read()))
            instance = answers[-1].instance
        return answers


async def test_report_has_the_state_of_the_router(router: FakeRouter) -> None:
    router.problem, router.xds.nack = "Envoy is not ready", "refused"
    (report,) = await ask(router, {})
    assert (report.revision, report.ready, report.problem, report.nack) == (1, False, "Envoy is not ready", "refused")
    assert (report.models, report.pods) == (AB, "p")


async def test_report_is_awaited_until_it_changes(router: FakeRouter) -> None:
    async def change() -> None:
        await eventually(lambda: router.waits)
        router.state.led.revision, router.state.led.models = 2, A
        router.changed.set()

    changing = asyncio.create_task(change())
    first, second = await ask(router, {}, {"after": "1", "wait": "5"})
    await changing
    assert (first.revision, second.revision, second.models) == (1, 2, A)


async def test_report_of_another_instance_is_not_awaited(router: FakeRouter) -> None:
    await ask(router, {}, {"after": "1", "instance": "another", "wait": "5"})
    assert router.waits == 0


async def test_report_is_repeated_when_the_wait_is_over(router: FakeRouter) -> None:
    times = iter(range(100))
    router.changed.set()
    first, second = await ask(router, {}, {"after": "1", "wait": "3"}, clock=lambda: float(next(times)))
    assert (first, router.waits > 0) == (second, True)


@pytest.mark.parametrize("query", [{"after": "x"}, {"wait": "soon"}])
async def test_report_refuses_wrong_parameters(router: FakeRouter, query: dict[str, str]) -> None:
    app = web.Application()
    app.router.add_get("/status", ReportPage(router, lambda: 0.0).get)  # type: ignore[arg-type]
    async with TestClient(TestServer(app)) as client, client.get("/status", params=query) as answer:
        assert answer.status == 400
