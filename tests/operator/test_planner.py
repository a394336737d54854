"""No plan keeps the event loop from the others."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime

from manyserve.api.names import Key
from manyserve.operator.reconcile import IN_THREAD_FROM, Planner
from manyserve.plan.actions import Plan
from manyserve.plan.observed import Observed
from tests.support import make
from tests.support.eventually import LIMIT

SNAPSHOT = Observed(Key("default", "triton-mms"), make.config())


class Case:
    """Records the thread of each plan, and the loop iterations of its snapshot and of the plan."""

    def __init__(self) -> None:
        self.turn = 0
        self.looked: list[int] = []
        self.planned: list[int] = []
        self.threads: list[threading.Thread] = []
        self.planner = Planner(self._decide, lambda: make.NOW)

    def look(self) -> Observed | None:
        self.looked.append(self.turn)
        return SNAPSHOT

    def _decide(self, _observed: Observed, _now: datetime) -> Plan:
        self.planned.append(self.turn)
        self.threads.append(threading.current_thread())
        return Plan()

    async def count_turns(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turn += 1


async def test_planner_plans_for_many_models_beside_the_event_loop() -> None:
    case = Case()
    made = await case.planner.make(case.look, IN_THREAD_FROM)
    assert made is not None
    assert threading.main_thread() not in case.threads


async def test_planner_plans_for_few_models_once_an_iteration_each_from_a_snapshot_of_then() -> None:
    case = Case()
    turns = asyncio.create_task(case.count_turns())
    async with asyncio.timeout(LIMIT):
        await asyncio.gather(*(case.planner.make(case.look, IN_THREAD_FROM - 1) for _ in range(10)))
    turns.cancel()
    assert set(case.threads) == {threading.main_thread()}
    assert len(set(case.planned)) == 10, "others have their turn between two plans"
    assert case.looked == case.planned


async def test_planner_makes_no_plan_where_nothing_is_observed() -> None:
    for models in (0, IN_THREAD_FROM):
        assert await Case().planner.make(lambda: None, models) is None
