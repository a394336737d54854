"""The fake API server: the order of its answers, stored objects with versions, and live watches."""

from __future__ import annotations

import asyncio

import pytest

from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.errors import ClusterError, Conflict, NotFound
from manyserve.cluster.kinds import CONFIG_MAP
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi, served
from tests.support.watch_lines import Manifest

PATH = "/api/v1/namespaces/n/configmaps/c"


def config_map(**data: str) -> Manifest:
    return {"metadata": {"name": "c", "namespace": "n"}, "data": data}


async def get(client: KubeClient) -> Manifest:
    return await client.get(CONFIG_MAP, "n", "c")


async def test_fake_api_order_of_answers() -> None:
    api = FakeApi(stateful=True)
    api.put(PATH, config_map(from_="objects"))
    api.by_path[PATH] = (200, {}, config_map(from_="by_path"))
    api.answers.append((200, {}, config_map(from_="answers")))
    async with served(api) as client:
        answers = [(await get(client))["data"]["from_"] for _ in range(2)]
        del api.by_path[PATH]
        assert [*answers, (await get(client))["data"]["from_"]] == ["answers", "by_path", "objects"]
    assert [(each.verb, each.path) for each in api.requests] == [("GET", PATH)] * 3


async def test_fake_api_stateful_refuses_unknown_objects_and_old_versions() -> None:
    api = FakeApi(stateful=True)
    async with served(api) as client:
        with pytest.raises(NotFound):
            await get(client)
        old = api.put(PATH, config_map(version="first"))
        await client.replace(CONFIG_MAP, old | {"data": {"version": "second"}})
        with pytest.raises(Conflict):
            await client.replace(CONFIG_MAP, old)
        assert (await get(client))["data"] == {"version": "second"}
    assert api.writes == [f"PUT {PATH}"]


async def test_fake_api_watch_without_script_sends_changes() -> None:
    api = FakeApi(stateful=True)
    async with served(api) as client:
        watch = client.watch(CONFIG_MAP, ListOptions("n"), version="1", silence=5)
        event = asyncio.create_task(anext(watch))
        await eventually(lambda: api._watchers)
        api.put(PATH, config_map(version="first"))
        assert (await event)["object"]["data"] == {"version": "first"}
        await watch.aclose()


async def test_fake_api_broken_answers_errors_only() -> None:
    api = FakeApi()
    api.broken = True
    async with served(api) as client:
        with pytest.raises(ClusterError):
            await client.create(CONFIG_MAP, config_map())
    assert api.writes == []
