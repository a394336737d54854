"""A reconcile observes, plans and applies; `models.json` only when the debouncer lets it."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any, cast

import pytest

from manyserve.api.modelconfig import PACKED_KEY
from manyserve.api.names import HOST_LABEL, Key
from manyserve.cluster.errors import Conflict
from manyserve.cluster.state import USERS_IDLE, ClusterState
from manyserve.operator.debounce import Debouncer
from manyserve.operator.reconcile import Planner, Reconciler
from manyserve.operator.workqueue import Result, WorkQueue
from manyserve.plan.actions import Plan, WriteConfig
from manyserve.plan.children.cache import CHILDREN_CACHE
from manyserve.plan.observed import Observed
from manyserve.plan.status.cache import STATUS_CACHE
from tests.support import make
from tests.support.queues import waiting

HOST = Key("default", "triton-mms")
WRITE = Plan(configs=(WriteConfig({}, "7"),), requeue_after=9.0)


class Applier:
    """Notes whether it is to write `models.json`."""

    def __init__(self) -> None:
        self.config_written: list[bool] = []
        self.error: Exception | None = None

    async def apply(self, _key: Key, todo: Plan, *, defer_config: bool) -> None:
        self.config_written.append(bool(todo.configs) and not defer_config)
        if self.error is not None:
            raise self.error


class Lookups:
    """Looks at nothing."""

    def set_required(self, *_: object) -> None:
        """Want nothing."""


class Case:
    """A host with plans that all write its config, and a clock."""

    def __init__(self, todo: Plan = WRITE) -> None:
        self.now = 0.0
        self.todo = todo
        self.queue = WorkQueue(clock=lambda: self.now)
        self.debouncer = Debouncer(self.queue, clock=lambda: self.now)
        self.applier = Applier()
        self.threads: list[threading.Thread] = []
        self.state = state = ClusterState(lambda _key: None)
        state.config = make.config()
        state.update_host(None, make.host_object())
        self.reconciler = Reconciler(
            state,
            cast("Any", self.applier),
            cast("Any", Lookups()),
            self.debouncer,
            Planner(self._decide, lambda: make.NOW),
        )

    async def reconcile(self, at: float) -> Result:
        self.now = at
        return await self.reconciler.reconcile(HOST)

    def _decide(self, _observed: Observed, _now: datetime) -> Plan:
        self.threads.append(threading.current_thread())
        until = time.thread_time() + 0.001
        while time.thread_time() < until:
            pass
        return self.todo


async def test_reconcile_writes_models_json_at_once_and_then_when_the_second_is_over() -> None:
    case = Case()
    for at in (0.0, 0.15, 1.0):
        case.debouncer.on_change(HOST)
        await case.reconcile(at)
    assert case.applier.config_written == [True, False, True]


async def test_reconcile_of_a_host_out_of_scope_drops_it_from_the_caches() -> None:
    case = Case()
    case.state.in_scope = lambda _namespace: False
    for cache in (STATUS_CACHE, CHILDREN_CACHE):
        cache.put(HOST, cast("Any", "inputs"))
    await case.reconcile(0.0)
    assert HOST not in STATUS_CACHE
    assert HOST not in CHILDREN_CACHE
    assert case.threads == [], "there is no plan"


async def test_reconcile_has_a_host_added_again_when_its_models_json_may_be_written() -> None:
    case = Case()
    for at in (0.0, 0.15):
        case.debouncer.on_change(HOST)
        await case.reconcile(at)
    case.now = 0.15 + USERS_IDLE
    case.debouncer.release()
    assert waiting(case.queue) == 1


async def test_reconcile_does_not_count_a_write_that_failed() -> None:
    case = Case()
    case.applier.error = Conflict("it has been modified")
    with pytest.raises(Conflict):
        await case.reconcile(0.0)
    case.applier.error = None
    await case.reconcile(0.1)
    assert case.applier.config_written == [True, True]


async def test_reconcile_does_not_count_a_plan_that_leaves_models_json_as_it_is() -> None:
    case = Case(Plan())
    for at in (0.0, 0.1, 0.2):
        await case.reconcile(at)
    case.todo = WRITE
    await case.reconcile(0.3)
    assert case.applier.config_written == [False, False, False, True]


async def test_reconcile_creates_a_config_map_that_is_missing_at_once() -> None:
    case = Case()
    await case.reconcile(0.0)
    case.todo = Plan(configs=(WriteConfig({}, None),))
    await case.reconcile(0.1)
    assert case.applier.config_written == [True, True]


async def test_reconcile_that_is_deferred_is_due_by_the_debouncer_and_not_by_time() -> None:
    case = Case()
    results = []
    for at in (0.0, 0.15):
        case.debouncer.on_change(HOST)
        results.append(await case.reconcile(at))
    assert [each.requeue_after for each in results] == [9.0, None]
    case.now = 1.0
    case.debouncer.release()
    assert waiting(case.queue) == 1


async def test_reconcile_returns_the_time_of_the_next_plan_and_what_this_one_took() -> None:
    result = await Case().reconcile(0.0)
    assert result.requeue_after == 9.0
    assert 0.001 <= result.planning < 0.1


@pytest.mark.parametrize(("packed", "beside"), [("", False), ("x" * 1000, True)])
async def test_reconcile_reads_a_long_models_json_beside_the_event_loop(packed: str, beside: bool) -> None:
    case = Case()
    metadata = {"name": "modelconfig-triton-mms-0", "namespace": "default", "labels": {HOST_LABEL: HOST.name}}
    config_map = {"kind": "ConfigMap", "metadata": metadata, "binaryData": {PACKED_KEY: packed}}
    case.state.update_child(None, config_map)
    await case.reconcile(0.0)
    assert [each is not threading.main_thread() for each in case.threads] == [beside]


async def test_reconcile_plans_a_change_after_two_writes_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()

    async def step(at: float) -> None:
        case.now = at
        key = await case.queue.get()
        case.queue.done(key, await case.reconciler.reconcile(key))

    async def slow(_key: Key, todo: Plan, *, defer_config: bool) -> None:
        assert todo.configs
        assert not defer_config
        case.now = 0.40
        case.debouncer.on_change(HOST)  # it changes no `models.json`
        case.now = 0.71
        case.debouncer.release()
        case.now = 0.75

    case.debouncer.on_change(HOST)
    await step(0.0)
    case.now = 0.05
    case.debouncer.on_change(HOST)
    case.now = 0.36
    case.debouncer.release()
    monkeypatch.setattr(case.applier, "apply", slow)
    await step(0.37)
    monkeypatch.undo()
    case.todo = Plan()
    case.now = 1.01
    case.debouncer.release()
    await step(1.02)
    case.todo = WRITE
    case.now = 1.05
    case.debouncer.on_change(HOST)
    for _ in range(100):
        case.now += case.debouncer.release()
    assert waiting(case.queue) == 1
