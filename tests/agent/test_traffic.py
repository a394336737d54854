"""`/traffic` of the agent: counters of the model server, none, or a reason."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from manyserve.agent import traffic
from manyserve.agent.traffic import FRESH_SECONDS, TrafficPage
from manyserve.api.routes import ModelTraffic, Traffic
from tests.agent.servers.test_counters import TRITON_PAGE
from tests.support.clock import FakeClock


class Page:
    """Metrics page of a server, with a fault."""

    def __init__(self) -> None:
        self.status, self.text, self.reads = 200, TRITON_PAGE, 0
        app = web.Application()
        app.router.add_get("/metrics", self.get)
        self.server = TestServer(app)
        self.url = ""

    async def get(self, _: web.Request) -> web.Response:
        self.reads += 1
        return web.Response(status=self.status, text=self.text)

    async def traffic(self, clock: FakeClock, dialect: str = "v2", times: int = 1) -> tuple[int, Any]:
        """Return the status and the body of the last of several responses."""
        app = web.Application()
        app.router.add_get("/traffic", TrafficPage("one", dialect, self.url, clock, lambda: ("new",)).get)
        async with TestClient(TestServer(app)) as client:
            for _ in range(times):
                answer = await client.get("/traffic")
                body = await answer.read()
        return answer.status, body


@pytest.fixture
async def page() -> Any:
    page = Page()
    async with page.server:
        page.url = str(page.server.make_url("/metrics"))
        yield page


async def test_traffic_has_the_counters_of_the_server(page: Page) -> None:
    status, body = await page.traffic(FakeClock())
    assert status == 200
    shown = Traffic.model_validate_json(body)
    assert (shown.instance, shown.counted) == ("one", True)
    assert shown.models["a"] == ModelTraffic(requests=12, busy_micros=1300, pending=4)
    assert shown.models.keys() == {"a", "idle"}


async def test_traffic_of_a_loaded_model_without_a_request_is_0_on_mlserver(page: Page) -> None:
    page.text = ""
    _, body = await page.traffic(FakeClock(), "mlserver")
    assert Traffic.model_validate_json(body).models == {"new": ModelTraffic(requests=0, busy_micros=0)}


async def test_traffic_is_read_once_in_its_fresh_time(page: Page) -> None:
    await page.traffic(FakeClock(), times=5)
    assert page.reads == 1
    await page.traffic(FakeClock(0.0, 0.0, FRESH_SECONDS, FRESH_SECONDS), times=2)
    assert page.reads == 3


async def test_traffic_of_a_server_without_counters_says_so(page: Page) -> None:
    status, body = await page.traffic(FakeClock(), "v1")
    assert (status, Traffic.model_validate_json(body)) == (200, Traffic(instance="one", counted=False))
    assert page.reads == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 500}, "the page answered 500"),
        ({"text": 'nv_inference_request_success{model="a"} x'}, "could not convert"),
        ({"text": "x" * 2000}, "more than 1024 bytes"),
    ],
)
async def test_traffic_that_cannot_be_read_is_no_zero(
    page: Page, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(traffic, "MAX_PAGE", 1024)
    vars(page).update({"text": "", **fault})
    status, body = await page.traffic(FakeClock())
    assert (status, reason in body.decode()) == (503, True), body


async def test_traffic_without_a_server_is_unavailable(page: Page) -> None:
    await page.server.close()
    assert (await page.traffic(FakeClock()))[0] == 503
