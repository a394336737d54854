"""Coalescing poller of the server's index."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from manyserve.agent import state
from manyserve.agent.servers import ServerUnavailableError
from manyserve.agent.state import IndexPoller
from tests.support.clock import FakeClock
from tests.support.eventually import eventually

NEVER = 3600.0


class FakeIndex:
    """Server that answers with the number of the request, once released."""

    def __init__(self) -> None:
        self.count = 0
        self.is_down = False
        self.released = asyncio.Event()
        self.released.set()

    async def __call__(self) -> int:
        self.count += 1
        number = self.count
        await self.released.wait()
        if self.is_down:
            raise ServerUnavailableError("the server is down")
        return number


@asynccontextmanager
async def running(poller: IndexPoller[int], on_poll: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    task = asyncio.create_task(poller.run(NEVER, on_poll))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_index_poller_coalesces_requests_during_poll() -> None:
    requests = FakeIndex()
    requests.released.clear()
    poller = IndexPoller(requests)
    async with running(poller):
        await eventually(lambda: requests.count == 1)
        waiting = [asyncio.create_task(poller.fresh()) for _ in range(100)]
        await asyncio.sleep(0)
        requests.released.set()
        assert await asyncio.gather(*waiting) == [2] * 100, "the first began before the calls"


async def test_index_poller_polls_periodically(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_MAX_REST", 0.0)
    requests, counts = FakeIndex(), list[int]()
    task = asyncio.create_task(IndexPoller(requests).run(0.01, lambda: counts.append(requests.count)))
    await eventually(lambda: requests.count >= 3)
    assert counts[:2] == [1, 2]
    task.cancel()


async def test_index_poller_raises_error_and_polls_again() -> None:
    requests = FakeIndex()
    requests.is_down = True
    poller = IndexPoller(requests)
    async with running(poller):
        with pytest.raises(ServerUnavailableError, match="the server is down"):
            await poller.fresh()
        requests.is_down = False
        assert await poller.fresh() == requests.count


async def test_index_poller_duty_cycle_is_a_tenth() -> None:
    clock, slept = FakeClock(), list[float]()

    async def ask() -> int:
        clock.now += 0.01  # duration of a poll
        return 1

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    real, poller = asyncio.sleep, IndexPoller(ask, clock=clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("manyserve.agent.state.asyncio.sleep", sleep)
        async with running(poller):
            await poller.fresh()
            await poller.fresh()
    assert slept[0] == pytest.approx(state.DUTY_FACTOR * 0.01)
