"""Hosts that write at once have shares, and what one writes is asked when its turn has come."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from functools import partial

import pytest

from manyserve.cluster import slots as slots_module
from manyserve.cluster.manners import never
from manyserve.cluster.slots import AT_ONCE, Slots, Write
from tests.support.eventually import eventually as until


class Server:
    """Gives as many answers as it is let, and knows who waits for one."""

    def __init__(self, answers: int = 0) -> None:
        self.asking: Counter[str] = Counter()
        self.answered: list[str] = []
        self.answers = asyncio.Semaphore(answers)

    def write(self, host: str) -> Write:
        async def write() -> None:
            self.asking[host] += 1
            await asyncio.sleep(0)
            await self.answers.acquire()
            self.asking[host] -= 1
            self.answered.append(host)

        return write

    async def answer(self, count: int) -> None:
        """Give so many answers, each when all slots are taken."""
        for _ in range(count):
            await until(lambda: self.asking.total() == AT_ONCE)
            wanted = len(self.answered) + 1
            self.answers.release()
            await until(partial(self.has_answered, wanted))

    def has_answered(self, count: int) -> bool:
        """Tell whether so many answers have been given."""
        return len(self.answered) >= count


async def test_one_host_alone_has_all_slots() -> None:
    server, slots = Server(), Slots()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(slots.do([server.write("a")] * 100))
        await server.answer(80)
        await until(lambda: server.asking["a"] == AT_ONCE)
        for _ in range(20):
            server.answers.release()
    assert server.answered == ["a"] * 100


async def test_a_host_that_comes_later_has_its_half() -> None:
    server, slots = Server(), Slots()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(slots.do([server.write("a")] * 100))
        await until(lambda: server.asking["a"] == AT_ONCE)
        group.create_task(slots.do([server.write("b")] * 100))
        await server.answer(3 * AT_ONCE)
        await until(lambda: server.asking.total() == AT_ONCE)
        assert server.asking == {"a": AT_ONCE // 2, "b": AT_ONCE // 2}
        for _ in range(200):
            server.answers.release()


async def test_what_is_enough_is_asked_when_the_turn_has_come() -> None:
    server, slots = Server(), Slots(at_once=1)
    news = False
    left = deque([server.write("b")] * 3)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(slots.do([server.write("a")]))
        await until(lambda: server.asking["a"] == 1)
        group.create_task(slots.take(left, lambda: news))
        await until(lambda: slots.contended)
        news = True
        server.answers.release()
    assert server.answered == ["a"]
    assert len(left) == 3, "none was taken away while it stood in line"


async def test_a_hundred_hosts_write_one_each_in_turn() -> None:
    server, slots = Server(answers=500), Slots()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(slots.take(deque([server.write(f"{number}")] * 5), never))
    first = server.answered[: 100 + AT_ONCE]
    assert len(set(first)) == 100, "a host's second is behind every other's first"
    assert Counter(server.answered).most_common(1)[0][1] == 5


async def test_what_goes_after_others_waits_while_they_stand_in_line() -> None:
    server = Server()
    first = Slots(at_once=1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(first.do([server.write("first")]))
        group.create_task(first.do([server.write("first")]))
        await until(lambda: first.contended)
        after = Slots(after=first)
        group.create_task(after.do([server.write("after")]))
        await until(lambda: after.contended)
        server.answers.release()
        await until(lambda: server.asking == {"first": 1, "after": 1})
        for _ in range(2):
            server.answers.release()
    assert server.answered[0] == "first"


async def test_what_goes_after_others_waits_for_a_while_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "PATIENCE", 0.01)
    server, first = Server(), Slots(at_once=1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(first.do([server.write("first")]))
        await until(lambda: first.contended)
        group.create_task(Slots(after=first).do([server.write("after")]))
        await until(lambda: server.asking["after"] == 1)
        assert first.contended
        for _ in range(3):
            server.answers.release()
