"""Records of departures: their begin, their end and the decision."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.departures import Departures
from manyserve.plan.departure import BURST_PERIOD, GRACE_PERIOD
from tests.plan.test_departure import placed
from tests.support import make
from tests.support.clock import FakeClock

KEY = Key("default", "triton-mms")


class DepartureEnv:
    """Departures with a fake clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.departures = Departures(clock=self.clock)
        self.models = [placed(uid="a")]

    def host(self, uid: str, **metadata: Any) -> None:
        manifest = make.host_object()
        self.departures.update_host(KEY, manifest | {"metadata": manifest["metadata"] | {"uid": uid} | metadata})

    def gone(self) -> None:
        self.departures.update_host(KEY, None)

    @property
    def left(self) -> dict[str, float]:
        return {uid: each.left for uid, each in self.departures.of(KEY, self.models).items()}


@pytest.fixture
def env() -> DepartureEnv:
    return DepartureEnv()


def test_departure_begins_its_grace_period_when_the_host_is_first_missing(env: DepartureEnv) -> None:
    env.host("a")
    assert env.left == {}
    env.gone()
    env.clock.now = 100.0
    assert env.left == {"a": GRACE_PERIOD}
    env.clock.now += 2.0
    assert env.left == {"a": GRACE_PERIOD - 2.0}


def test_departure_begins_anew_after_a_host_came_and_went(env: DepartureEnv) -> None:
    assert env.left == {"a": GRACE_PERIOD}
    env.clock.now += 4.0
    env.host("b")
    env.gone()
    env.clock.now += 4.0
    assert env.left == {"a": GRACE_PERIOD}


def test_departure_that_is_decided_outlives_a_new_host_and_waits_between_bursts(env: DepartureEnv) -> None:
    assert env.left
    env.clock.now += GRACE_PERIOD
    env.departures.decide(KEY, "a")
    env.host("b")
    assert env.left == {"a": BURST_PERIOD}
    env.clock.now += BURST_PERIOD
    assert env.left == {"a": 0.0}
    env.models = []
    assert env.left == {}


def test_departure_keeps_models_of_a_host_deleted_with_the_orphan_finalizer(env: DepartureEnv) -> None:
    env.host("a", finalizers=["orphan"], deletionTimestamp="2026-01-01T00:00:00Z")
    env.gone()
    assert env.departures.of(KEY, env.models)["a"].kept
    env.host("b")
    env.gone()
    env.models = [placed(uid="b")]
    assert not env.departures.of(KEY, env.models)["b"].kept


def test_departure_keeps_its_models_while_the_host_is_gone(env: DepartureEnv) -> None:
    assert env.left
    env.departures.keep_models(KEY, "a")
    env.clock.now += GRACE_PERIOD
    assert env.departures.of(KEY, env.models)["a"].kept


def test_departure_snapshot_does_not_change_with_the_record(env: DepartureEnv) -> None:
    before = env.departures.of(KEY, env.models)
    env.departures.decide(KEY, "a")
    assert not before["a"].decided
