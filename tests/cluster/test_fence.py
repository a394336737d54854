"""Nothing is written behind a fence that is shut, not even what had begun before it was."""

from __future__ import annotations

import pytest

from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import NotLeading, Unavailable
from manyserve.cluster.fence import Fence
from manyserve.cluster.kinds import CONFIG_MAP
from manyserve.cluster.kubeconfig import ClusterConfig
from tests.support.clock import FakeClock
from tests.support.fake_api import FakeApi, served

THING = {"metadata": {"name": "c", "namespace": "n"}}


def test_a_fence_is_shut_until_it_is_opened_and_four_seconds_before_its_end() -> None:
    fence = Fence(FakeClock(0, 0, 8, 8.1, 0))
    assert not fence.is_open
    fence.open_until(12)
    assert [fence.is_open, fence.is_open, fence.is_open] == [True, True, False]
    fence.shut()
    assert not fence.is_open


async def test_behind_a_shut_fence_is_read_and_not_written() -> None:
    server = FakeApi()
    async with served(server) as plain, KubeClient(plain._access, gate=Fence()) as client:
        await client.list(CONFIG_MAP)
        for write in (
            client.create(CONFIG_MAP, THING),
            client.apply(CONFIG_MAP, THING),
            client.delete(CONFIG_MAP, "n", "c"),
        ):
            with pytest.raises(NotLeading, match=r"^not written: this replica does not hold the lease"):
                await write
    assert [verb for verb, *_ in server.requests] == ["GET"]


async def test_a_write_may_take_no_longer_than_the_lease_lasts_on_either_side() -> None:
    server, fence = FakeApi(), Fence(FakeClock(0))
    async with served(server) as plain, KubeClient(plain._access, gate=fence) as client:
        for end in (5.5, 12):
            fence.open_until(end)
            await client.create(CONFIG_MAP, THING)
    assert [query["timeout"] for _, _, query, *_ in server.requests] == ["4.5s", "10.0s"]
    assert [body for *_, body in server.requests] == [THING, THING]


async def test_a_write_that_began_before_a_freeze_does_not_go_out_after_it() -> None:
    server, fence = FakeApi(), Fence(FakeClock(0, 60))
    fence.open_until(12)
    async with served(server) as plain, KubeClient(plain._access, gate=fence) as client:
        with pytest.raises(Unavailable, match="does not hold the lease"):
            await client.create(CONFIG_MAP, THING)
    assert server.requests == []


async def test_without_a_fence_all_is_written() -> None:
    async with KubeClient(ClusterConfig("http://127.0.0.1:9")) as client:
        with pytest.raises(Unavailable, match="had no response"):
            await client.create(CONFIG_MAP, THING)
