"""The v1 dialect, as KFServing 0.6 answers it, and as KServe does since."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.reconcile import ServerModel, ServerState
from manyserve.agent.servers import LoadRejectedError, ServerUnavailableError, V1Server
from manyserve.agent.servers.base import Answer
from manyserve.agent.servers.v1 import read_list, read_ready

READY = ServerModel(ServerState.READY)


class Old:
    """The answers of 0.6: a bare list, errors as HTML whose reason stands in the status line."""

    def __init__(self) -> None:
        self.models: dict[str, bool] = {}
        self.refusing: set[str] = set()
        self.asked: list[str] = []
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
        self.asked.append(name)
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
def old() -> Old:
    return Old()


@pytest.fixture
async def client(old: Old) -> AsyncIterator[V1Server]:
    async with TestServer(old.app()) as server:
        client = V1Server(str(server.make_url("")).rstrip("/"), index_seconds=0.5)
        yield client
        await client.close()


async def test_a_model_is_loaded_listed_and_unloaded(client: V1Server) -> None:
    assert await client.index() == {}
    await client.load("a")
    assert await client.index() == {"a": READY}
    await client.unload("a")
    assert await client.index() == {}
    await client.unload("a")


async def test_a_refusal_tells_the_reason_and_no_html(old: Old, client: V1Server) -> None:
    old.refusing.add("a")
    with pytest.raises(LoadRejectedError, match=r"^Model with name a is not ready. Error type: KeyError"):
        await client.load("a")


async def test_a_listed_model_that_is_not_ready_is_said_with_its_reason(old: Old, client: V1Server) -> None:
    old.models |= {"a": False, "b": True}
    expected = ServerModel(ServerState.UNAVAILABLE, "Model with name a is not ready.")
    assert await client.index() == {"a": expected, "b": READY}
    old.models["a"] = True
    assert await client.index() == {"a": READY, "b": READY}


async def test_of_many_ready_models_a_few_are_asked_for_each_time_and_all_in_turn(old: Old, client: V1Server) -> None:
    names = [f"m{number}" for number in range(20)]
    old.models |= dict.fromkeys(names, True)
    first = await client.index()
    old.asked.clear()
    for _ in range(5):
        assert await client.index() is first
    assert sorted(old.asked) == sorted(names)
    old.models["m7"] = False
    for _ in range(5):
        found = await client.index()
    assert found["m7"].state is ServerState.UNAVAILABLE


async def test_a_server_that_is_busy_for_too_long_is_gone(old: Old, client: V1Server) -> None:
    old.hang = True
    with pytest.raises(ServerUnavailableError, match=r"list did not come within 0\.5 s"):
        await client.index()


def test_the_list_is_bare_or_under_models() -> None:
    assert read_list(b'["a", "b"]') == read_list(b'{"models": ["a", "b"]}') == ["a", "b"]


@pytest.mark.parametrize("body", [b"", b"{", b"3", b'{"a": 1}', b"[1]", b"<html>", b"[" * 100_000])
def test_input_29_a_list_that_is_none_means_the_server_is_gone(body: bytes) -> None:
    with pytest.raises(ServerUnavailableError, match="the server's list cannot be read"):
        read_list(body)


@pytest.mark.parametrize("said", [b'{"ready": false}', b'{"ready": "False"}', b"{}", b"[]", b"not JSON", b"3"])
def test_input_29_a_200_that_does_not_say_ready_is_not_ready(said: bytes) -> None:
    found = read_ready(Answer(200, said))
    assert found is not None
    assert found.state is ServerState.UNAVAILABLE


@pytest.mark.parametrize("said", [b'{"name": "a", "ready": true}', b'{"name": "a", "ready": "True"}'])
def test_ready_is_a_truth_or_its_word(said: bytes) -> None:
    assert read_ready(Answer(200, said)) == READY
