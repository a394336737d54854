"""The work queue: coalesced, each host one reconcile at a time, backing off, and brought forward by a change."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster.errors import Conflict
from manyserve.operator import workqueue
from manyserve.operator.workqueue import MAX_BACKOFF_ON_CHANGE, STALL_TIMEOUT, Result, WorkQueue
from tests.support.eventually import eventually
from tests.support.queues import waiting

A, B = Key("default", "a"), Key("default", "b")


class Case:
    """A queue with a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queue = WorkQueue(clock=lambda: self.now)

    async def get(self, at: float) -> Key | None:
        """Return the host that is due at a time, if there is one."""
        self.now = at
        try:
            async with asyncio.timeout(0):
                return await self.queue.get()
        except TimeoutError:
            return None

    def at(self, now: float) -> WorkQueue:
        self.now = now
        return self.queue


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(workqueue, "BACKOFF", Backoff(base=1.0, cap=60.0, jitter=0.0))
    return Case()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short intervals, and four reconciles at once."""
    monkeypatch.setattr(workqueue, "BACKOFF", Backoff(base=0.002, cap=0.01))
    monkeypatch.setattr(workqueue, "MIN_INTERVAL", 0.002)
    monkeypatch.setattr(workqueue, "MAX_IN_FLIGHT", 4)


async def test_workqueue_coalesces_adds(case: Case) -> None:
    for moment in (0.0, 0.01, 0.02):
        case.at(moment).add(A)
    assert await case.get(0.02) == A
    assert await case.get(0.02) is None


async def test_workqueue_does_not_give_a_host_twice(case: Case) -> None:
    case.at(0).add(A)
    assert await case.get(1) == A
    case.at(2).add(A)
    assert await case.get(10) is None


async def test_workqueue_gives_a_host_once_more_that_was_added_while_it_was_processed(case: Case) -> None:
    case.at(0).add(A)
    await case.get(1)
    case.at(1.01).add(A)
    case.at(1.02).add(A)
    case.at(1.1).done(A, Result())
    assert await case.get(1.19) is None, "not before the interval is over"
    assert await case.get(1.2) == A
    case.at(1.3).done(A, Result())
    assert await case.get(100) is None


async def test_workqueue_keeps_the_interval_of_each_host_by_itself(case: Case) -> None:
    case.at(0).add(A)
    assert await case.get(0.03) == A
    case.at(0.04).done(A, Result())
    case.at(0.05).add(A)
    case.at(0.05).add(B)
    assert await case.get(0.1) == B
    assert await case.get(0.1) is None
    assert await case.get(0.24) == A


async def test_workqueue_lengthens_the_interval_by_what_the_plan_took(case: Case) -> None:
    case.at(0).add(A)
    await case.get(1)
    case.at(1.1).add(A)
    case.at(1.5).done(A, Result(planning=0.2))
    assert await case.get(2.19) is None, "six times as long as its plan took"
    assert await case.get(2.21) == A


async def test_workqueue_requeues_after_the_time_of_the_result(case: Case) -> None:
    case.at(0).add(A)
    await case.get(1)
    case.at(1.5).done(A, Result(requeue_after=4))
    assert await case.get(5.4) is None
    assert await case.get(5.5) == A
    case.at(6).done(A, Result(requeue_after=4))
    case.at(7).add(A)
    assert await case.get(7) == A, "a change comes first"


async def test_workqueue_add_after_keeps_the_earliest_time(case: Case) -> None:
    case.at(0).add_after(A, 5)
    case.at(1).add_after(A, 1)
    case.at(1).add_after(A, 9)
    assert await case.get(1.9) is None
    assert await case.get(2) == A


async def test_workqueue_backs_off_up_to_a_limit(case: Case) -> None:
    now, pauses = 0.0, list[float]()
    case.at(now).add(A)
    for _ in range(8):
        assert await case.get(now) == A
        pauses.append(case.queue.add_rate_limited(A))
        case.queue.done(A)
        assert await case.get(now + pauses[-1] - 0.01) is None
        now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_workqueue_brings_a_failing_host_forward_on_change_but_not_into_a_storm(case: Case) -> None:
    case.at(0).add(A)
    for now in (1, 10, 20, 30, 40):
        assert await case.get(now) == A
        case.queue.add_rate_limited(A)
        case.queue.done(A)
        case.at(now + 0.5).add(A)
    assert await case.get(40 + MAX_BACKOFF_ON_CHANGE - 0.01) is None, "not at once"
    assert await case.get(40 + MAX_BACKOFF_ON_CHANGE) == A, "and not after 16 seconds"


async def test_workqueue_brings_a_host_forward_that_changed_while_it_failed(case: Case) -> None:
    case.at(0).add(A)
    for now in (1, 10, 20, 30):
        assert await case.get(now) == A
        case.queue.add_rate_limited(A)
        case.queue.done(A)
    assert await case.get(40) == A
    case.at(40).add(A)
    case.queue.add_rate_limited(A)
    case.queue.done(A)
    assert await case.get(40 + MAX_BACKOFF_ON_CHANGE) == A


async def test_workqueue_ends_the_backoff_on_success(case: Case) -> None:
    case.at(0).add(A)
    await case.get(1)
    case.queue.add_rate_limited(A)
    case.queue.done(A)
    assert await case.get(2) == A
    case.queue.done(A, Result())
    case.at(3).add(A)
    assert await case.get(3) == A


async def test_workqueue_keeps_retry_after_of_the_api_server_on_change(case: Case) -> None:
    case.at(0).add(A)
    await case.get(1)
    assert case.queue.add_rate_limited(A, retry_after=30) == 30
    case.queue.done(A)
    case.at(2).add(A)
    assert await case.get(30.9) is None
    assert await case.get(31) == A


async def test_workqueue_prunes_idle_hosts_only(case: Case) -> None:
    case.at(0).add(A)
    await case.get(1)
    case.queue.done(A, Result())
    case.at(1.1).prune()
    assert list(case.queue._items) == [A], "its interval is not over"
    case.at(99).add(B)
    case.at(100).prune()
    assert list(case.queue._items) == [B]


async def test_workqueue_is_stalled_only_while_it_runs_and_has_something_to_do(case: Case) -> None:
    case.queue.active = True
    case.now = 10 * STALL_TIMEOUT
    assert case.queue.stall_reason() is None, "it is idle"
    case.queue.add(A)
    case.now += STALL_TIMEOUT / 10
    assert case.queue.stall_reason() is None
    case.now += 1
    assert case.queue.stall_reason() == "the work queue is stalled"
    case.queue.active = False
    assert case.queue.stall_reason() is None


def key(name: str) -> Key:
    return Key("default", name)


@asynccontextmanager
async def running(reconcile: Callable[[Key], Awaitable[Result]]) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue()
    task = asyncio.create_task(queue.run(reconcile))
    yield queue
    assert not task.done()
    task.cancel()


@pytest.mark.usefixtures("fast")
async def test_workqueue_reconciles_a_burst_of_adds_once() -> None:
    runs: Counter[Key] = Counter()

    async def reconcile(host: Key) -> Result:
        runs[host] += 1
        return Result()

    async with running(reconcile) as queue:
        for _ in range(1000):
            queue.add(key("a"))
        await eventually(lambda: runs[key("a")] and not waiting(queue))
    assert runs[key("a")] == 1


@pytest.mark.usefixtures("fast")
async def test_workqueue_reconciles_several_hosts_at_once_and_each_one_at_a_time() -> None:
    processing: Counter[Key] = Counter()
    most_of_one = most_of_all = runs = 0

    async def reconcile(host: Key) -> Result:
        nonlocal most_of_one, most_of_all, runs
        processing[host] += 1
        most_of_one, most_of_all = max(most_of_one, processing[host]), max(most_of_all, processing.total())
        await asyncio.sleep(0.01)
        processing[host] -= 1
        runs += 1
        return Result()

    async with running(reconcile) as queue:
        for number in range(60):
            queue.add(key(str(number % 6)))
            await asyncio.sleep(0.001)
        await eventually(lambda: runs >= 12 and not waiting(queue) and not processing.total())
    assert most_of_one == 1
    assert most_of_all == 4


@pytest.mark.usefixtures("fast")
async def test_workqueue_tries_a_failing_host_again_and_reconciles_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workqueue, "MAX_IN_FLIGHT", 1)
    tries: Counter[str] = Counter()

    async def reconcile(host: Key) -> Result:
        tries[host.name] += 1
        if host.name == "conflict" and tries[host.name] < 3:
            raise Conflict("it has changed")
        if host.name == "defect":
            raise RuntimeError("a defect")
        return Result()

    async with running(reconcile) as queue:
        for name in ("conflict", "defect", "fine"):
            queue.add(key(name))
        await eventually(lambda: tries["conflict"] == 3 and tries["defect"] > 3 and tries["fine"] == 1)


@pytest.mark.usefixtures("fast")
async def test_workqueue_reconciles_a_host_again_after_its_reconcile_cancelled_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workqueue, "MAX_IN_FLIGHT", 1)
    runs = 0

    async def reconcile(_host: Key) -> Result:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise asyncio.CancelledError
        return Result()

    async with running(reconcile) as queue:
        queue.add(key("a"))
        await eventually(lambda: runs == 3)
        assert waiting(queue) == 0


@pytest.mark.usefixtures("fast")
async def test_workqueue_reconciles_a_host_again_when_its_result_says_so() -> None:
    runs = 0

    async def reconcile(_host: Key) -> Result:
        nonlocal runs
        runs += 1
        return Result(0.01 if runs < 4 else None)

    async with running(reconcile) as queue:
        queue.add(key("a"))
        await eventually(lambda: runs == 4)
        assert waiting(queue) == 0


@pytest.mark.usefixtures("fast")
async def test_workqueue_reconciles_a_host_again_after_a_cancelled_reconcile() -> None:
    begun: list[Key] = []

    async def reconcile(host: Key) -> Result:
        begun.append(host)
        if len(begun) == 1:
            await asyncio.Event().wait()
        return Result()

    queue = WorkQueue()
    queue.add(key("a"))
    for runs in (1, 2):
        task = asyncio.create_task(queue.run(reconcile))
        await eventually(partial(lambda runs: len(begun) == runs, runs))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("fast")
async def test_workqueue_stops_at_the_very_moment_at_which_a_host_is_added() -> None:
    async def reconcile(_host: Key) -> Result:
        return Result()

    for _ in range(50):
        queue = WorkQueue()
        task = asyncio.create_task(queue.run(reconcile))
        await asyncio.sleep(0)
        queue.add(key("a"))
        await asyncio.sleep(0)
        queue.add(key("b"))
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.done()
