"""The chain of checks behind the conditions of a model."""

from __future__ import annotations

from collections.abc import Iterable

from manyserve.api import conditions
from manyserve.api.conditions import Condition
from manyserve.api.names import Key
from manyserve.plan.observed import Observed
from manyserve.plan.placement import place
from manyserve.plan.status.model import CHECKS, HostContext, model_status, waiting_status
from tests.support import make

TYPES = [kind for kind, _ in CHECKS]
MODEL = make.model()


def types(found: Iterable[Condition]) -> list[str]:
    return [condition.type for condition in found]


def test_checks_have_one_row_for_each_condition() -> None:
    assert len(set(TYPES)) == len(TYPES)
    assert conditions.READY not in TYPES


def test_check_returns_the_condition_of_its_row() -> None:
    host = make.host()
    observed = Observed(key=Key("default", "triton-mms"), config=make.config(), host=host, models=(MODEL,))
    placement = place(host, (MODEL,), (), make.config())
    status = model_status(MODEL, HostContext(host, observed, placement, (), ()), make.NOW)
    assert types(status.conditions) == sorted([*TYPES, conditions.READY])


def test_waiting_status_has_the_conditions_of_all_checks() -> None:
    status = waiting_status(MODEL, leaving=False, kept=False, now=make.NOW)
    assert types(status.conditions) == sorted([*TYPES, conditions.READY])
    states = {condition.type: condition.status for condition in status.conditions}
    false = {conditions.READY, conditions.INFERENCE_SERVICE_READY}
    assert {kind for kind, state in states.items() if state == "False"} == false
    assert {kind for kind, state in states.items() if state == "Unknown"} == set(TYPES) - false
