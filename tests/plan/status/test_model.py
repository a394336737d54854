"""Checks behind the conditions of a model."""

from __future__ import annotations

from collections.abc import Iterable

from manyserve.api import conditions
from manyserve.api.conditions import Condition
from manyserve.api.names import Key
from manyserve.plan.observed import Observed
from manyserve.plan.plan import plan
from manyserve.plan.status.context import HostContext
from manyserve.plan.status.model import CHECKS, model_status, waiting_status
from tests.plan.test_plan import ready, seen
from tests.support import make, world
from tests.support.placed import place_on_one

TYPES = [kind for kind, _ in CHECKS]
MODEL = make.model()


def types(conditions_of_model: Iterable[Condition]) -> list[str]:
    return [condition.type for condition in conditions_of_model]


def test_checks_have_one_row_for_each_condition() -> None:
    assert len(set(TYPES)) == len(TYPES)
    assert conditions.READY not in TYPES


def test_check_returns_the_condition_of_its_row() -> None:
    host = make.host()
    observed = Observed(key=Key("default", "triton-mms"), config=make.config(), host=host, models=(MODEL,))
    placement = place_on_one(host, (MODEL,), (), make.config())
    status = model_status(MODEL, HostContext(host, observed, placement, (), ()), make.NOW)
    assert types(status.conditions) == sorted([*TYPES, conditions.READY])


def test_waiting_status_has_the_conditions_of_all_checks() -> None:
    status = waiting_status(MODEL, leaving=False, kept=False, now=make.NOW)
    assert types(status.conditions) == sorted([*TYPES, conditions.READY])
    states = {condition.type: condition.status for condition in status.conditions}
    false = {conditions.READY, conditions.INFERENCE_SERVICE_READY}
    assert {kind for kind, state in states.items() if state == "False"} == false
    assert {kind for kind, state in states.items() if state == "Unknown"} == set(TYPES) - false


def test_model_with_a_name_that_no_url_allows_is_not_placed_and_blocks_no_other() -> None:
    settled = world.settle(seen(make.model("a.b"), make.model("n" * 129), make.model("c")))
    assert world.placed(settled) == {"c"}
    for model in settled.models[:2]:
        status, reason, message = ready(model)
        assert (status, reason) == ("False", "InvalidSpec")
        assert message
        assert message.startswith("not placed on triton-mms: metadata.name: ")
        assert message.endswith("is the model's name in its URL: letters, digits and - only, at most 128")


def test_condition_message_truncates_a_long_uri() -> None:
    model = make.model(uri=f"https://{'h' * 2000}/x")
    todo = plan(seen(model), make.NOW)
    (write,) = [each for each in todo.statuses if each.kind == "TrainedModel"]
    assert max(len(each.get("message") or "") for each in write.patch["conditions"]) == conditions.MESSAGE_LIMIT
