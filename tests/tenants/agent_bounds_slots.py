"""Cases of the table about downloads: slots, and files of one model that are read at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.download import choose, downloaders
from manyserve.agent.download_slots import _MAX_SLICES, _PATIENCE, SLOW_BYTES
from manyserve.agent.settings import AgentSettings, SourceSettings
from tests.agent.support import Counted, FakeBucket
from tests.agent.test_download_slots import SLICE, make, settle
from tests.support.eventually import eventually

DEFAULTS = AgentSettings()
FAR = 10
"""Multiples of a limit that are far above it."""


async def downloads_under_way(folder: Path) -> None:
    fast, slow = DEFAULTS.parallel_downloads, DEFAULTS.slow_downloads
    async with AsyncExitStack() as stack:
        slots = make(stack, fast, slow)
        await slots.start(*(f"a{number}" for number in range(fast + slow)))
        for _each in range(slow // fast):
            await slots.after(SLICE)
        assert len(slots.held) == fast + slow
        await slots.start(*(f"b{number}" for number in range(FAR * (fast + slow))))
        await slots.start("other", uri="https://two/x")
        await slots.after(_PATIENCE)
        assert len(slots.held) == fast + slow
        assert "other" in slots.held, "the origins have fair shares"
    await _files_at_once(folder)


class Gate(FakeBucket):
    """A bucket in which reads wait until `open` is set."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(objects)
        self.now, self.most, self.open = 0, 0, asyncio.Event()

    async def get(self, request: web.Request) -> web.StreamResponse:
        self.now += 1
        self.most = max(self.most, self.now)
        await self.open.wait()
        self.now -= 1
        return await super().get(request)


async def _files_at_once(folder: Path) -> None:
    bucket = Gate({f"m/{number}": b"x" for number in range(FAR * DEFAULTS.parallel_files)})
    server = TestServer(bucket.app())
    await server.start_server()
    sources = SourceSettings(gcs_endpoint=str(server.make_url("")).rstrip("/"))
    source = choose("gs://", downloaders(AgentSettings(sources=sources)))
    listing = await source.find("gs://bucket/m")
    fetch = asyncio.create_task(source.fetch(listing, folder, Counted()))
    await eventually(lambda: bucket.now >= DEFAULTS.parallel_files)
    for _each in range(FAR):
        await source.find("gs://bucket/m")  # a read that began with the others would arrive before
    bucket.open.set()
    await fetch
    assert bucket.most == DEFAULTS.parallel_files
    await server.close()


async def time_in_fast_slot(_: Path) -> None:
    async with AsyncExitStack() as stack:
        slots = make(stack, 1, 1)
        await slots.start("a", "b")
        slots.now = DEFAULTS.download_slot_seconds - 0.01
        slots.slots._schedule()
        await settle()
        assert set(slots.held) == {"a"}
        await slots.after(SLICE)
        assert set(slots.held) == {"a", "b"}
    for rate, seconds in ((SLOW_BYTES // 2, _PATIENCE), (2 * SLOW_BYTES, _MAX_SLICES)):
        async with AsyncExitStack() as stack:
            slots = make(stack, 1, 0)
            await slots.start("a", "b")
            await slots.after(seconds - 1, a=rate)
            assert set(slots.held) == {"a"}
            await slots.after(1, a=rate)
            assert slots.ends == {"a": True}


async def rate_beside_large_download(_: Path) -> None:
    """After a wait of twenty times `_PATIENCE`, the least rate is twenty times `SLOW_BYTES`."""
    for rate, keeps in ((FAR * SLOW_BYTES, False), (10 * FAR * SLOW_BYTES, True)):
        async with AsyncExitStack() as stack:
            slots, rates = make(stack, 1, 2), {"a": rate, "b": 2 * rate}
            for name in rates:
                await slots.start(name, uri=f"https://{name}/x", is_slow=True)
            await slots.start("large", uri="https://two/x")
            await slots.enlarge("large")
            await slots.after(2 * FAR * _PATIENCE, **rates)
            assert slots.ends == ({} if keeps else {"a": True})
            assert slots.held["large"].is_held is not keeps
