"""One look at a host: its config goes out once a second at most."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from manyserve.api.modelconfig import PACKED_KEY
from manyserve.api.names import HOST_LABEL, Key
from manyserve.cluster.errors import Conflict
from manyserve.cluster.manners import Manners
from manyserve.cluster.state import ClusterState
from manyserve.operator.lulls import CROWD, Lulls
from manyserve.operator.reconcile import reconciler
from manyserve.plan.actions import Plan, WriteConfig
from manyserve.plan.observed import Observed
from tests.support import make

HOST = Key("default", "triton-mms")
WRITE = Plan(config=WriteConfig({}, "7"))


class Applier:
    """Notes what it is to carry out."""

    def __init__(self) -> None:
        self.carried: list[Plan] = []
        self.error: Exception | None = None
        self.manners = Manners()

    async def carry_out(self, _key: Key, todo: Plan, manners: Manners) -> None:
        self.carried.append(todo)
        self.manners = manners
        if self.error is not None:
            raise self.error


class Lookups:
    """Looks at nothing."""

    def set_required(self, *_: object) -> None:
        """Want nothing."""


def busy_lulls() -> Lulls:
    """Return the lulls of a world in which users change models all the time."""
    lulls = Lulls(lambda _key, _after: None, lambda _key: None, clock=lambda: 0.0)
    lulls.news(HOST)
    return lulls


class Case:
    """A host whose every plan writes its config, and a clock."""

    def __init__(self) -> None:
        self.now = make.NOW
        self.is_due = False
        self.planning = 0.0
        """Seconds of processor time that a plan takes."""
        self.lulls = busy_lulls()
        self.applier = Applier()
        self.pictures: list[Observed] = []
        self.threads: list[threading.Thread] = []
        self.known = known = ClusterState(lambda _key: None)
        known.config = make.config()
        known.update_host(None, make.host_object())
        self.run = reconciler(
            known,
            cast("Any", self.applier),
            cast("Any", Lookups()),
            self.lulls,
            self._decide,
            now=lambda: self.now,
            is_due=lambda _key: self.is_due,
        )

    def _decide(self, observed: Observed, _now: datetime) -> Plan:
        self.pictures.append(observed)
        self.threads.append(threading.current_thread())
        until = time.thread_time() + self.planning
        while time.thread_time() < until:
            pass
        return WRITE


async def test_changes_in_quick_succession_are_one_write_at_once_and_one_when_the_second_is_over() -> None:
    case = Case()
    assert (await case.run(HOST)).look_again_after is None
    case.now += timedelta(seconds=0.25)
    assert (await case.run(HOST)).look_again_after == 0.75
    case.now += timedelta(seconds=0.75)
    assert (await case.run(HOST)).look_again_after is None
    assert [todo.config is not None for todo in case.applier.carried] == [True, False, True]


async def test_what_can_wait_waits_when_there_is_news_and_the_config_could_be_changed_for_it() -> None:
    case = Case()
    await case.run(HOST)
    case.is_due = True
    assert not case.applier.manners.hurry(), "the config was changed a moment ago"
    case.now += timedelta(seconds=1)
    assert case.applier.manners.hurry()
    case.is_due = False
    assert not case.applier.manners.hurry()


async def test_while_users_ask_much_a_host_whose_plan_takes_long_is_planned_less_often() -> None:
    case = Case()
    case.planning = 0.005
    alone = (await case.run(HOST)).planning
    for _ in range(CROWD):
        case.lulls.news(HOST)
    in_a_crowd = (await case.run(HOST)).planning
    assert 0.005 <= alone < 0.01 <= in_a_crowd


async def test_a_write_that_failed_is_not_waited_for() -> None:
    case = Case()
    case.applier.error = Conflict("it has been modified")
    with pytest.raises(Conflict):
        await case.run(HOST)
    case.applier.error = None
    await case.run(HOST)
    assert [todo.config is not None for todo in case.applier.carried] == [True, True]


@pytest.mark.parametrize(("packed", "beside"), [("", False), ("x" * 1000, True)])
async def test_for_a_host_with_few_models_a_long_models_json_is_read_beside_the_event_loop(
    packed: str, beside: bool
) -> None:
    case = Case()
    metadata = {"name": "modelconfig-triton-mms-0", "namespace": "default", "labels": {HOST_LABEL: HOST.name}}
    config_map = {"kind": "ConfigMap", "metadata": metadata, "binaryData": {PACKED_KEY: packed}}
    case.known.update_child(None, config_map)
    await case.run(HOST)
    assert [each is not threading.main_thread() for each in case.threads] == [beside]
