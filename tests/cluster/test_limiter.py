"""The limiter: so many writes in flight for all hosts, in turn, and batches that stop when all would fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import pytest

from manyserve.cluster import errors
from manyserve.cluster.limiter import MAX_IN_FLIGHT, Limiter, Write
from tests.support.eventually import LIMIT, eventually


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
        """Give so many answers, each when all permits are taken."""
        for _ in range(count):
            await eventually(lambda: self.asking.total() == MAX_IN_FLIGHT)
            wanted = len(self.answered) + 1
            self.answers.release()
            await eventually(partial(self.has_answered, wanted))

    def has_answered(self, count: int) -> bool:
        """Return whether so many answers have been given."""
        return len(self.answered) >= count


async def test_limiter_gives_one_host_alone_all_permits() -> None:
    server, limiter = Server(), Limiter()
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        group.create_task(limiter.run([server.write("a")] * 100))
        await server.answer(80)
        await eventually(lambda: server.asking["a"] == MAX_IN_FLIGHT)
        for _ in range(20):
            server.answers.release()
    assert server.answered == ["a"] * 100


async def test_limiter_gives_a_later_host_its_half() -> None:
    server, limiter = Server(), Limiter()
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        group.create_task(limiter.run([server.write("a")] * 100))
        await eventually(lambda: server.asking["a"] == MAX_IN_FLIGHT)
        group.create_task(limiter.run([server.write("b")] * 100))
        await server.answer(3 * MAX_IN_FLIGHT)
        await eventually(lambda: server.asking.total() == MAX_IN_FLIGHT)
        assert server.asking == {"a": MAX_IN_FLIGHT // 2, "b": MAX_IN_FLIGHT // 2}
        for _ in range(200):
            server.answers.release()


async def test_limiter_serves_the_first_writes_of_many_hosts_before_their_last_ones() -> None:
    server, limiter = Server(answers=500), Limiter()
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(limiter.run([server.write(f"{number}")] * 5))
    first = server.answered[: 100 + MAX_IN_FLIGHT]
    assert len(set(first)) == 100, "a host's second is behind every other's first"
    assert Counter(server.answered).most_common(1)[0][1] == 5


async def test_limiter_gives_back_the_permits_of_a_batch_that_is_cancelled() -> None:
    server, limiter = Server(), Limiter()
    for cancelled_after in range(5):
        batch = asyncio.create_task(limiter.run([server.write("a")] * 100))
        for _ in range(cancelled_after):
            await asyncio.sleep(0)
        batch.cancel()
        await asyncio.gather(batch, return_exceptions=True)
    server.asking.clear()
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        group.create_task(limiter.run([server.write("b")] * 100))
        await eventually(lambda: server.asking["b"] == MAX_IN_FLIGHT)
        for _ in range(100):
            server.answers.release()


async def test_limiter_begins_no_write_after_a_fatal_error() -> None:
    begun = 0

    async def write() -> None:
        nonlocal begun
        begun += 1
        raise errors.Unavailable("no answer")

    with pytest.raises(errors.Unavailable):
        await Limiter(4).run([write] * 1000)
    assert begun <= 4


async def test_limiter_does_the_other_writes_when_one_fails_for_itself() -> None:
    done: list[int] = []

    async def write(number: int) -> None:
        if number == 3:
            raise errors.Conflict("changed")
        done.append(number)

    with pytest.raises(errors.Conflict):
        await Limiter(2).run([partial(write, number) for number in range(8)])
    assert done == [0, 1, 2, 4, 5, 6, 7]
