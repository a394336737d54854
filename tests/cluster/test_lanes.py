"""What is told gives way while users ask much of the API server, and nobody is forgotten over it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from manyserve.cluster.lanes import NARROW, Lanes
from manyserve.cluster.manners import Manners, never
from manyserve.cluster.slots import AT_ONCE, Slots
from tests.support.eventually import eventually as until


class Server:
    """Answers when it is let, and knows how many asked at once, and who."""

    def __init__(self) -> None:
        self.users_ask = True
        self.at_once = self.most = 0
        self.answered: list[str] = []
        self.left: list[str] = []
        self.full = asyncio.Event()
        self.answers = asyncio.Event()

    def write(self, host: str, wanted: int) -> Callable[[], object]:
        async def write() -> None:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            if self.at_once == wanted:
                self.full.set()
            await self.answers.wait()
            self.at_once -= 1
            self.answered.append(host)

        return write

    def manners(self, host: str) -> Manners:
        return Manners(narrow=lambda: self.users_ask, later=lambda: self.left.append(host))

    async def tell(self, lanes: Lanes, host: str, count: int, wanted: int = NARROW) -> None:
        await lanes.do([self.write(host, wanted)] * count, never, self.manners(host))  # type: ignore[list-item]


async def test_few_are_told_at_a_time_while_users_ask_and_many_when_they_make_a_pause() -> None:
    server, lanes = Server(), Lanes(Slots())
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(server.tell(lanes, "a", 100, wanted=AT_ONCE))
        await until(lambda: server.at_once == NARROW)
        server.users_ask = False
        server.answers.set()
        await asyncio.sleep(0)
        server.answers.clear()
        await server.full.wait()
        server.answers.set()
    assert server.most == AT_ONCE
    assert len(server.answered) == 100
    assert server.left == []


async def test_a_host_goes_on_while_nobody_else_waits() -> None:
    server, lanes = Server(), Lanes(Slots())
    server.answers.set()
    async with asyncio.timeout(5):
        await server.tell(lanes, "a", 100)
    assert len(server.answered) == 100
    assert server.left == []


async def test_when_others_wait_each_tells_something_and_leaves_the_rest_for_later() -> None:
    server, lanes, hosts = Server(), Lanes(Slots()), [f"host-{number}" for number in range(10)]
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for host in hosts:
            group.create_task(server.tell(lanes, host, 100))
        await server.full.wait()
        server.answers.set()
    assert server.most == NARROW
    assert set(server.answered) == set(hosts)
    assert set(server.left) >= set(hosts[:-1]), "but for the last, for whom nobody waits any more"
    assert len(server.answered) < 10 * 100


@pytest.mark.parametrize("users_ask", [True, False])
async def test_what_is_told_of_a_host_ends_when_its_turn_comes_again_and_it_is_not_touched_for_the_rest(
    users_ask: bool,
) -> None:
    server, lanes = Server(), Lanes(Slots())
    server.users_ask = users_ask
    server.answers.set()
    async with asyncio.timeout(5):
        await lanes.do([server.write("a", 0)] * 100, lambda: len(server.answered) >= 10, server.manners("a"))  # type: ignore[list-item]
    assert 10 <= len(server.answered) < 10 + AT_ONCE
    assert server.left == []


async def test_users_that_are_at_it_for_a_moment_only_leave_nothing_untold() -> None:
    server, lanes = Server(), Lanes(Slots())
    server.answers.set()
    asked = itertools.count()
    manners = Manners(narrow=lambda: next(asked) == 30, later=lambda: server.left.append("a"))
    async with asyncio.timeout(5):
        await lanes.do([server.write("a", 0)] * 100, never, manners)  # type: ignore[list-item]
    assert len(server.answered) == 100
    assert server.left == []
