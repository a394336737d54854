"""Bodies of reviews: large ones take a share of the event loop, one after another, and small ones wait for none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.webhook import bodies
from manyserve.webhook.bodies import MAX_LARGE_READS, PAUSES, SMALL_BODY, USUAL_SEPARATORS, Bodies, BodyError
from tests.support.connections import KUBELET as OTHER
from tests.support.connections import unlimited
from tests.support.eventually import eventually

SMALL, LARGE = b"x" * SMALL_BODY, b"x" * (SMALL_BODY + 1)
WORK = 0.02
"""Seconds of processor time that a large body takes."""


class Work(NamedTuple):
    """Work on one body."""

    length: int
    began: float
    ended: float
    processor: float
    """Seconds of processor time."""

    @property
    def is_large(self) -> bool:
        return self.length > SMALL_BODY


@dataclass
class Rig:
    """A server that works on bodies, and the times of its work."""

    bodies: Bodies = field(default_factory=Bodies)
    url: str = ""
    done: list[Work] = field(default_factory=list)
    busy_from: int = SMALL_BODY + 1
    """Bytes of the smallest body that takes `WORK`."""
    arrived: int = 0
    error: Exception | None = None
    http: aiohttp.ClientSession = field(default_factory=aiohttp.ClientSession)

    def work(self, body: bytearray) -> None:
        """Occupy the event loop for a body that takes time."""
        began, worked = time.monotonic(), time.thread_time()
        while len(body) >= self.busy_from and time.thread_time() < worked + WORK:
            pass
        self.done.append(Work(len(body), began, time.monotonic(), time.thread_time() - worked))
        if self.error:
            raise self.error

    async def answer(self, request: web.Request) -> web.Response:
        self.arrived += 1
        try:
            await self.bodies.handle(request, self.work)
        except BodyError as error:
            return web.Response(status=error.status, text=str(error))
        except ValueError:
            return web.Response(status=400)
        return web.Response()

    async def post(self, body: bytes) -> int:
        return (await self.ask(body))[0]

    async def ask(self, body: bytes, client: aiohttp.ClientSession | None = None) -> tuple[int, str]:
        async with (client or self.http).post(self.url, data=body) as response:
            return response.status, await response.text()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    running, app = Rig(), web.Application()
    app.router.add_post("/", running.answer)
    server = TestServer(app)
    await server.start_server()
    running.url = str(server.make_url("/"))
    yield running
    await running.http.close()
    await server.close()


def paused(rig: Rig) -> bool:
    """Return whether each work is followed by its pause."""
    return all(later.began - earlier.ended >= PAUSES * earlier.processor for earlier, later in pairwise(rig.done))


async def test_large_bodies_take_a_share_of_the_event_loop(rig: Rig) -> None:
    assert set(await asyncio.gather(*(rig.post(LARGE) for _ in range(6)))) == {200}
    assert len(rig.done) == 6
    assert paused(rig)


async def test_large_bodies_with_errors_take_no_more(rig: Rig) -> None:
    rig.error = ValueError()
    assert set(await asyncio.gather(*(rig.post(LARGE) for _ in range(3)))) == {400}
    assert len(rig.done) == 3
    assert paused(rig)


async def test_small_bodies_are_answered_in_the_pauses_of_large_ones(rig: Rig) -> None:
    flood = [asyncio.create_task(rig.post(LARGE)) for _ in range(4)]
    while not all(each.done() for each in flood):
        assert await rig.post(SMALL) == 200
    between = [
        sum(not each.is_large and earlier.ended <= each.began <= later.began for each in rig.done)
        for earlier, later in pairwise(each for each in rig.done if each.is_large)
    ]
    assert len(between) == 3
    assert all(between), "each pause has a small one"


async def test_pause_after_a_large_body_is_no_longer_when_its_work_waits_for_a_processor(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the thread stands still here, as that of a thread without a processor."""
    monkeypatch.setattr(bodies, "time", SimpleNamespace(thread_time=lambda: 0.0, monotonic=time.monotonic))
    assert set(await asyncio.gather(*(rig.post(LARGE) for _ in range(4)))) == {200}
    assert len(rig.done) == 4
    assert not paused(rig)


async def test_small_bodies_of_many_values_take_a_share_of_the_event_loop(rig: Rig) -> None:
    many = b"," * (USUAL_SEPARATORS + 1)
    rig.busy_from = len(many)
    assert set(await asyncio.gather(*(rig.post(many) for _ in range(3)))) == {200}
    assert len(rig.done) == 3
    assert paused(rig)


@pytest.mark.parametrize(("body", "number"), [(SMALL, 50), (LARGE, 2 * MAX_LARGE_READS)], ids=["small", "large"])
async def test_body_of_another_address_waits_for_few_of_a_flood(rig: Rig, body: bytes, number: int) -> None:
    rig.busy_from = len(body)
    async with unlimited(OTHER) as attacker:
        flood = [asyncio.create_task(rig.ask(body, attacker)) for _ in range(number)]
        await eventually(lambda: rig.arrived == number)
        before = len(rig.done)
        assert await rig.post(body) == 200
        overtaken = len(rig.done) - before - 1
        assert {status for status, _ in await asyncio.gather(*flood)} == {200}
    assert overtaken <= number / 4
    assert number - before > number / 2, "the flood is long enough"


async def test_slow_large_bodies_of_one_address_leave_turns_to_another(rig: Rig) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield LARGE
        await asyncio.Event().wait()

    async with unlimited(OTHER) as attacker:
        flood = [asyncio.create_task(attacker.post(rig.url, data=slowly())) for _ in range(2 * MAX_LARGE_READS)]
        await eventually(lambda: rig.arrived == len(flood))
        assert set(await asyncio.gather(*(rig.post(LARGE) for _ in range(MAX_LARGE_READS)))) == {200}
        assert not any(each.done() for each in flood)
        for each in flood:
            each.cancel()


async def test_large_body_that_waits_for_its_turn_too_long_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "READ_TIMEOUT", WORK * PAUSES / 2)
    first, second = sorted(await asyncio.gather(rig.ask(LARGE), rig.ask(LARGE)))
    assert first == (200, "")
    assert second == (503, "there are too many reviews: this one had no turn within 0.09 seconds")
    assert await rig.post(SMALL) == 200
