"""Client of MLServer: settings with the model's name, and an index that is rarely requested."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.reconcile import ServerState
from manyserve.agent.servers import LoadRejectedError, MLServer, ServerUnavailableError
from tests.support.clock import FakeClock


class FakeMLServer:
    """Server with a slow index, on a fake clock that only the server moves."""

    def __init__(self) -> None:
        self.clock, self.seconds, self.live = FakeClock(), 1.0, 200
        self.ready: dict[str, bool] = {}
        self.requests: list[str] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v2/repository/index", self.index)
        app.router.add_post("/v2/repository/models/{name}/{verb}", self.act)
        app.router.add_get("/v2/health/live", self.health)
        app.router.add_get("/v2/models/{name}/ready", self.is_ready)
        return app

    async def index(self, _: web.Request) -> web.Response:
        self.requests.append("index")
        self.clock.now += self.seconds
        states = {name: "READY" if ready else "UNAVAILABLE" for name, ready in self.ready.items()}
        return web.json_response([{"name": name, "state": state, "reason": ""} for name, state in states.items()])

    async def act(self, request: web.Request) -> web.Response:
        name, verb = request.match_info["name"], request.match_info["verb"]
        if name == "bad":
            return web.Response(status=500, text="Internal Server Error")
        self.ready[name] = verb == "load"
        return web.Response()

    async def health(self, _: web.Request) -> web.Response:
        self.requests.append("live")
        return web.Response(status=self.live)

    async def is_ready(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.requests.append(name)
        return web.Response(status=200 if self.ready.get(name) else 404)


@pytest.fixture
def scripted() -> FakeMLServer:
    return FakeMLServer()


@pytest.fixture
async def client(scripted: FakeMLServer) -> AsyncIterator[MLServer]:
    async with TestServer(scripted.app()) as server:
        client = MLServer(str(server.make_url("")).rstrip("/"), clock=scripted.clock)
        yield client
        await client.close()


async def test_mlserver_index_takes_a_twentieth_of_the_servers_time(scripted: FakeMLServer, client: MLServer) -> None:
    scripted.ready["a"] = True
    first = await client.index()
    assert await client.index() is first
    assert scripted.requests == ["index", "live"]
    scripted.clock.now += 18.9
    assert await client.index() is first
    scripted.clock.now += 0.2
    assert await client.index() == first
    assert scripted.requests == ["index", "live", "live", "index"]


async def test_mlserver_polls_models_after_load_and_unload(scripted: FakeMLServer, client: MLServer) -> None:
    scripted.ready["b"] = True
    await client.index()
    await client.load("a")
    await client.unload("b")
    models = await client.index()
    assert {name: model.state for name, model in models.items()} == {
        "a": ServerState.READY,
        "b": ServerState.UNAVAILABLE,
    }
    assert scripted.requests == ["index", "live", "a", "b"]
    assert await client.index() is models
    assert scripted.requests[-1] == "live"


async def test_mlserver_requests_whole_index_after_restart(scripted: FakeMLServer, client: MLServer) -> None:
    scripted.ready["a"] = True
    await client.index()
    scripted.live = 503
    with pytest.raises(ServerUnavailableError, match="health answered 503"):
        await client.index()
    scripted.live, scripted.ready = 200, {}
    assert await client.index() == {}


async def test_mlserver_load_error_without_reason_names_the_log(client: MLServer) -> None:
    with pytest.raises(LoadRejectedError, match=r"^the server could not load it; the reason is in its log only$"):
        await client.load("bad")
