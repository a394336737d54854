"""Semaphore that is fair to addresses: order of permits, cancelled requests, and no record of idle addresses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from manyserve.fair_semaphore import FairSemaphore


@dataclass
class Queue:
    """Requests at a semaphore, and the order of their permits."""

    semaphore: FairSemaphore
    order: list[str] = field(default_factory=list)

    async def request(self, address: str) -> None:
        await self.semaphore.acquire(address)
        self.order.append(address)

    async def wait(self, *addresses: str) -> list[asyncio.Task[None]]:
        """Begin requests, one after another."""
        tasks = [asyncio.create_task(self.request(address)) for address in addresses]
        await turn_of_the_loop()
        return tasks

    async def release(self, address: str, use: float) -> None:
        self.semaphore.release(address, use)
        await turn_of_the_loop()


async def turn_of_the_loop() -> None:
    """Let each task run that can."""
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def queue() -> Queue:
    return Queue(FairSemaphore(1))


async def test_semaphore_gives_the_permits_of_one_address_in_order_and_each_once(queue: Queue) -> None:
    queue.semaphore = FairSemaphore(4)
    first, second, third = await queue.wait("a", "a", "a")
    assert first.done()
    assert second.done()
    assert not third.done()
    assert queue.semaphore.locked("a")
    await queue.release("a", 1)
    assert third.done()


async def test_semaphore_gives_another_address_the_next_permit(queue: Queue) -> None:
    await queue.wait(*["a"] * 100, "b")
    await queue.release("a", 1)
    assert queue.order == ["a", "b"]


async def test_semaphore_gives_addresses_equal_shares_of_the_use(queue: Queue) -> None:
    """A turn of `a` costs four times one of `b`."""
    costs = {"a": 4.0, "b": 1.0}
    await queue.wait(*["a"] * 100, *["b"] * 100)
    for _ in range(100):
        await queue.release(queue.order[-1], costs[queue.order[-1]])
    use = {address: queue.order.count(address) * cost for address, cost in costs.items()}
    assert use["a"] == pytest.approx(use["b"], abs=4)


async def test_semaphore_gives_an_address_no_credit_for_the_time_before_it_came(queue: Queue) -> None:
    await queue.wait(*["a"] * 50)
    for _ in range(20):
        await queue.release("a", 1)
    await queue.wait(*["b"] * 50)
    for _ in range(20):
        await queue.release(queue.order[-1], 1)
    assert queue.order[-20:].count("b") == pytest.approx(10, abs=1)


async def test_semaphore_gives_no_permit_to_a_cancelled_request(queue: Queue) -> None:
    _, cancelled, _ = await queue.wait("a", "b", "c")
    cancelled.cancel()
    await queue.release("a", 1)
    assert queue.order == ["a", "c"]


async def test_semaphore_gives_the_permit_on_when_its_request_is_cancelled_at_the_same_moment(queue: Queue) -> None:
    _, cancelled, _ = await queue.wait("a", "b", "c")
    queue.semaphore.release("a", 1)
    cancelled.cancel()
    await turn_of_the_loop()
    assert queue.order == ["a", "c"]


async def test_semaphore_is_free_again_after_all_requests_and_keeps_no_address(queue: Queue) -> None:
    await queue.wait("a", "b", "c")
    for address in ("a", "b", "c"):
        await queue.release(address, 1)
    assert not queue.semaphore.locked("a")
    assert (queue.semaphore._used, queue.semaphore._waiting, queue.semaphore._held) == ({}, {}, {})


async def test_semaphore_leaves_permits_to_other_addresses(queue: Queue) -> None:
    queue.semaphore = FairSemaphore(8)
    await queue.wait(*"aaaaaaaa", *"bbbbbbbb", *"cccccccc", *"dddddddd", *"eeeeeeee")
    assert queue.order == [*"aaaa", *"bb", "c", "d"]


async def test_semaphore_gives_a_permit_to_an_address_that_may_hold_more(queue: Queue) -> None:
    """All permits are taken; `a` holds most, and waits although it used the least."""
    queue.semaphore = FairSemaphore(8)
    await queue.wait(*"aaaaaaaa", *"bbb", *"cc", *"dd")
    queue.order.clear()
    await queue.release("d", 1)
    assert queue.order == ["d"]
    await queue.release("a", 0)
    assert queue.order == ["d"], "a, b, c and d hold as many as are free, or more"
    await queue.release("b", 1)
    assert queue.order == ["d", "c"], "b used more"
