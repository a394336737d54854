"""Fence: no write leaves behind a shut fence, not even one that began before."""

from __future__ import annotations

import pytest

from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import NotLeading, Unavailable
from manyserve.cluster.fence import Fence
from manyserve.cluster.kinds import CONFIG_MAP
from manyserve.cluster.kubeconfig import ClusterConfig
from tests.support.clock import FakeClock
from tests.support.fake_api import FakeApi, served

CONFIG = {"metadata": {"name": "c", "namespace": "n"}}


def test_fence_is_open_until_four_seconds_before_its_end() -> None:
    fence = Fence(FakeClock(0, 0, 8, 8.1, 0))
    assert not fence.is_open
    fence.open_until(12)
    assert [fence.is_open, fence.is_open, fence.is_open] == [True, True, False]
    fence.shut()
    assert not fence.is_open


async def test_fence_that_is_shut_passes_reads_and_refuses_writes() -> None:
    server = FakeApi()
    async with served(server) as plain, KubeClient(plain._config, gate=Fence()) as client:
        await client.list(CONFIG_MAP)
        for write in (
            client.create(CONFIG_MAP, CONFIG),
            client.apply(CONFIG_MAP, CONFIG),
            client.delete(CONFIG_MAP, "n", "c"),
        ):
            with pytest.raises(NotLeading, match=r"^not written: this replica does not hold the lease"):
                await write
    assert [verb for verb, *_ in server.requests] == ["GET"]


async def test_fence_bounds_the_timeout_of_a_write_on_both_sides() -> None:
    server, fence = FakeApi(), Fence(FakeClock(0))
    async with served(server) as plain, KubeClient(plain._config, gate=fence) as client:
        for end in (5.5, 12):
            fence.open_until(end)
            await client.create(CONFIG_MAP, CONFIG)
    assert [query["timeout"] for _, _, query, *_ in server.requests] == ["4.5s", "10.0s"]
    assert [body for *_, body in server.requests] == [CONFIG, CONFIG]


async def test_fence_refuses_a_write_that_began_before_a_freeze() -> None:
    server, fence = FakeApi(), Fence(FakeClock(0, 60))
    fence.open_until(12)
    async with served(server) as plain, KubeClient(plain._config, gate=fence) as client:
        with pytest.raises(Unavailable, match="does not hold the lease"):
            await client.create(CONFIG_MAP, CONFIG)
    assert server.requests == []


async def test_client_without_a_fence_sends_writes() -> None:
    async with KubeClient(ClusterConfig("http://127.0.0.1:9")) as client:
        with pytest.raises(Unavailable, match="had no response"):
            await client.create(CONFIG_MAP, CONFIG)
