"""Client of the v1 protocol: the answers of KFServing 0.6, and those of KServe since."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.reconcile import ServerModel, ServerState
from manyserve.agent.servers import LoadRejectedError, ServerUnavailableError, V1Server
from manyserve.agent.servers.base import Response
from manyserve.agent.servers.v1 import read_list, read_ready

READY = ServerModel(ServerState.READY)


class FakeV1Server:
    """Server with the answers of 0.6: a bare list, and HTML errors with the reason in the status line."""

    def __init__(self) -> None:
        self.models: dict[str, bool] = {}
        self.refusing: set[str] = set()
        self.requests: list[str] = []
        self.hang = False

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self.list)
        app.router.add_get("/v1/models/{name}", self.health)
        app.router.add_post("/v2/repository/models/{name}/load", self.load)
        app.router.add_post("/v2/repository/models/{name}/unload", self.unload)
        return app

    async def list(self, _: web.Request) -> web.Response:
        if self.hang:
            await asyncio.sleep(60)
        return web.Response(text=json.dumps(list(self.models)))

    async def health(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.requests.append(name)
        if name not in self.models:
            return self._error(404, f"Model with name {name} does not exist.")
        if not self.models[name]:
            return self._error(503, f"Model with name {name} is not ready.")
        return web.Response(text=json.dumps({"name": name, "ready": True}))

    async def load(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.refusing:
            return self._error(500, f"Model with name {name} is not ready. Error type: KeyError error msg: 3")
        self.models[name] = True
        return web.Response(text=json.dumps({"name": name, "load": True}))

    async def unload(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if self.models.pop(name, None) is None:
            return self._error(404, f"Model with name {name} does not exist.")
        return web.Response(text=json.dumps({"name": name, "unload": True}))

    def _error(self, status: int, reason: str) -> web.Response:
        page = f"<html><title>{status}: {reason}</title><body>{status}: {reason}</body></html>"
        return web.Response(status=status, reason=reason, text=page, content_type="text/html")


@pytest.fixture
def scripted() -> FakeV1Server:
    return FakeV1Server()


@pytest.fixture
async def client(scripted: FakeV1Server) -> AsyncIterator[V1Server]:
    async with TestServer(scripted.app()) as server:
        client = V1Server(str(server.make_url("")).rstrip("/"), index_seconds=0.5)
        yield client
        await client.close()


async def test_v1_client_loads_lists_and_unloads_model(client: V1Server) -> None:
    assert await client.index() == {}
    await client.load("a")
    assert await client.index() == {"a": READY}
    await client.unload("a")
    assert await client.index() == {}
    await client.unload("a")


async def test_v1_rejected_load_has_reason_without_html(scripted: FakeV1Server, client: V1Server) -> None:
    scripted.refusing.add("a")
    with pytest.raises(LoadRejectedError, match=r"^Model with name a is not ready. Error type: KeyError"):
        await client.load("a")


async def test_v1_index_has_reason_of_unready_model(scripted: FakeV1Server, client: V1Server) -> None:
    scripted.models |= {"a": False, "b": True}
    expected = ServerModel(ServerState.UNAVAILABLE, "Model with name a is not ready.")
    assert await client.index() == {"a": expected, "b": READY}
    scripted.models["a"] = True
    assert await client.index() == {"a": READY, "b": READY}


async def test_v1_index_rechecks_a_few_ready_models_in_turn(scripted: FakeV1Server, client: V1Server) -> None:
    names = [f"m{number}" for number in range(20)]
    scripted.models |= dict.fromkeys(names, True)
    first = await client.index()
    scripted.requests.clear()
    for _ in range(5):
        assert await client.index() is first
    assert sorted(scripted.requests) == sorted(names)
    scripted.models["m7"] = False
    for _ in range(5):
        models = await client.index()
    assert models["m7"].state is ServerState.UNAVAILABLE


async def test_v1_index_timeout_means_server_is_unavailable(scripted: FakeV1Server, client: V1Server) -> None:
    scripted.hang = True
    with pytest.raises(ServerUnavailableError, match=r"list did not come within 0\.5 s"):
        await client.index()


def test_v1_read_list_accepts_both_forms() -> None:
    assert read_list(b'["a", "b"]') == read_list(b'{"models": ["a", "b"]}') == ["a", "b"]


@pytest.mark.parametrize("body", [b"", b"{", b"3", b'{"a": 1}', b"[1]", b"<html>", b"[" * 100_000])
def test_input_29_v1_invalid_list_means_server_is_unavailable(body: bytes) -> None:
    with pytest.raises(ServerUnavailableError, match="the server's list cannot be read"):
        read_list(body)


@pytest.mark.parametrize("body", [b'{"ready": false}', b'{"ready": "False"}', b"{}", b"[]", b"not JSON", b"3"])
def test_input_29_v1_answer_200_without_ready_is_not_ready(body: bytes) -> None:
    model = read_ready(Response(200, body))
    assert model is not None
    assert model.state is ServerState.UNAVAILABLE


@pytest.mark.parametrize("body", [b'{"name": "a", "ready": true}', b'{"name": "a", "ready": "True"}'])
def test_v1_read_ready_accepts_boolean_and_string(body: bytes) -> None:
    assert read_ready(Response(200, body)) == READY
