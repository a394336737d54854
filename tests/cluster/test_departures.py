"""The record of departures: what begins, ends and decides one."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.departures import Departures
from manyserve.plan.departure import BURST_PERIOD, GRACE_PERIOD
from tests.plan.test_departure import placed
from tests.support import make

KEY = Key("default", "triton-mms")


class Case:
    """Departures, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.departures = Departures(clock=lambda: self.now)
        self.models = [placed(uid="a")]

    def host(self, uid: str, **metadata: Any) -> None:
        manifest = make.host_object()
        self.departures.host_stored(KEY, manifest | {"metadata": manifest["metadata"] | {"uid": uid} | metadata})

    def gone(self) -> None:
        self.departures.host_stored(KEY, None)

    @property
    def left(self) -> dict[str, float]:
        return {uid: each.left for uid, each in self.departures.of(KEY, self.models).items()}


@pytest.fixture
def case() -> Case:
    return Case()


def test_the_grace_period_begins_when_the_host_is_first_seen_gone(case: Case) -> None:
    case.host("a")
    assert case.left == {}
    case.gone()
    case.now = 100.0
    assert case.left == {"a": GRACE_PERIOD}
    case.now += 2.0
    assert case.left == {"a": GRACE_PERIOD - 2.0}


def test_a_host_that_comes_and_goes_between_two_plans_begins_the_grace_period_anew(case: Case) -> None:
    assert case.left == {"a": GRACE_PERIOD}
    case.now += 4.0
    case.host("b")
    case.gone()
    case.now += 4.0
    assert case.left == {"a": GRACE_PERIOD}


def test_a_decided_departure_outlives_a_host_of_the_name_and_waits_between_two_bursts(case: Case) -> None:
    assert case.left
    case.now += GRACE_PERIOD
    case.departures.decide(KEY, "a")
    case.host("b")
    assert case.left == {"a": BURST_PERIOD}
    case.now += BURST_PERIOD
    assert case.left == {"a": 0.0}
    case.models = []
    assert case.left == {}


def test_the_finalizer_orphan_of_a_host_on_its_way_out_keeps_its_models(case: Case) -> None:
    case.host("a", finalizers=["orphan"], deletionTimestamp="2026-01-01T00:00:00Z")
    case.gone()
    assert case.departures.of(KEY, case.models)["a"].kept
    case.host("b")
    case.gone()
    case.models = [placed(uid="b")]
    assert not case.departures.of(KEY, case.models)["b"].kept


def test_models_that_are_kept_stay_kept_while_the_host_is_gone(case: Case) -> None:
    assert case.left
    case.departures.keep_models(KEY, "a")
    case.now += GRACE_PERIOD
    assert case.departures.of(KEY, case.models)["a"].kept


def test_a_snapshot_does_not_change_with_the_record(case: Case) -> None:
    before = case.departures.of(KEY, case.models)
    case.departures.decide(KEY, "a")
    assert not before["a"].decided
