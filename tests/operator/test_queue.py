"""The queue runs several hosts at a time, each one at a time, and survives what a run throws."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from manyserve.api.names import Key
from manyserve.cluster.errors import Conflict
from manyserve.operator.queue import Queue, Ran
from manyserve.operator.schedule import Pace, Schedule
from tests.support.eventually import eventually as until

FAST = Pace(debounce=0.001, gap=0.002, first_backoff=0.002, longest_backoff=0.01, longest_when_touched=0.01)


def key(name: str) -> Key:
    return Key("default", name)


@asynccontextmanager
async def serving(run: Callable[[Key], Awaitable[Ran]], at_once: int = 4) -> AsyncIterator[Queue]:
    queue = Queue(at_once=at_once, schedule=Schedule(FAST))
    task = asyncio.create_task(queue.serve(run))
    yield queue
    assert not task.done()
    task.cancel()


async def test_a_burst_of_touches_is_few_runs() -> None:
    runs: Counter[Key] = Counter()

    async def run(host: Key) -> Ran:
        runs[host] += 1
        return Ran()

    async with serving(run) as queue:
        for _ in range(1000):
            queue.touch(key("a"))
        await until(lambda: runs[key("a")] and not len(queue))
    assert runs[key("a")] == 1


async def test_a_host_that_is_hastened_runs_at_once_although_its_plan_took_an_hour() -> None:
    runs: Counter[Key] = Counter()

    async def run(host: Key) -> Ran:
        runs[host] += 1
        return Ran(planning=3600.0)

    async with serving(run) as queue:
        queue.touch(key("a"))
        await until(lambda: runs[key("a")] == 1 and not len(queue))
        queue.touch(key("a"))
        queue.hasten(key("a"))
        await until(lambda: runs[key("a")] == 2)


async def test_one_host_never_runs_twice_at_once_and_several_hosts_do() -> None:
    running: Counter[Key] = Counter()
    most_of_one = most_of_all = runs = 0

    async def run(host: Key) -> Ran:
        nonlocal most_of_one, most_of_all, runs
        running[host] += 1
        most_of_one, most_of_all = max(most_of_one, running[host]), max(most_of_all, running.total())
        await asyncio.sleep(0.01)
        running[host] -= 1
        runs += 1
        return Ran()

    async with serving(run) as queue:
        for number in range(60):
            queue.touch(key(str(number % 6)))
            await asyncio.sleep(0.001)
        await until(lambda: runs >= 12 and not len(queue) and not running.total())
    assert most_of_one == 1
    assert most_of_all == 4


async def test_a_run_that_fails_is_tried_again_and_does_not_keep_others_from_running() -> None:
    tries: Counter[str] = Counter()

    async def run(host: Key) -> Ran:
        tries[host.name] += 1
        if host.name == "conflict" and tries[host.name] < 3:
            raise Conflict("it has changed")
        if host.name == "defect":
            raise RuntimeError("a defect")
        return Ran()

    async with serving(run, at_once=1) as queue:
        for name in ("conflict", "defect", "fine"):
            queue.touch(key(name))
        await until(lambda: tries["conflict"] == 3 and tries["defect"] > 3 and tries["fine"] == 1)


async def test_a_run_that_is_cancelled_by_itself_is_run_again() -> None:
    runs = 0

    async def run(_host: Key) -> Ran:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise asyncio.CancelledError
        return Ran()

    async with serving(run, at_once=1) as queue:
        queue.touch(key("a"))
        await until(lambda: runs == 3)
        assert len(queue) == 0


async def test_the_plan_says_when_to_look_again() -> None:
    runs = 0

    async def run(_host: Key) -> Ran:
        nonlocal runs
        runs += 1
        return Ran(0.01 if runs < 4 else None)

    async with serving(run) as queue:
        queue.touch(key("a"))
        await until(lambda: runs == 4)
        assert len(queue) == 0


async def test_a_run_that_was_cut_short_is_due_when_work_goes_on() -> None:
    begun: list[Key] = []

    async def run(host: Key) -> Ran:
        begun.append(host)
        if len(begun) == 1:
            await asyncio.Event().wait()
        return Ran()

    queue = Queue(schedule=Schedule(FAST))
    queue.touch(key("a"))
    for runs in (1, 2):
        task = asyncio.create_task(queue.serve(run))
        await until(lambda runs=runs: len(begun) == runs)  # type: ignore[misc]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_stops_when_it_is_told_to_at_the_very_moment_at_which_a_host_is_touched() -> None:
    async def run(_host: Key) -> Ran:
        return Ran()

    for _ in range(50):
        queue = Queue(schedule=Schedule(FAST))
        task = asyncio.create_task(queue.serve(run))
        await asyncio.sleep(0)
        queue.touch(key("a"))
        await asyncio.sleep(0)
        queue.touch(key("b"))
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.done()
