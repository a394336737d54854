"""`models.json` is written at once when it was quiet, and once a second while models come and go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from manyserve.plan.actions import Nudge, Plan, SetStatus, WriteConfig
from manyserve.plan.pace import hold_back
from tests.support import make

STATUS = SetStatus("TrainedModel", "a", "uid-a", {"loaded": "1/1"})
TODO = Plan(config=WriteConfig({}, "7"), nudges=(Nudge("p", "u", "hash"),), statuses=(STATUS,))


def after(seconds: float) -> Any:
    return make.NOW + timedelta(seconds=seconds)


def test_the_first_change_goes_out_at_once() -> None:
    assert hold_back(TODO, None, make.NOW) is TODO
    assert hold_back(TODO, make.NOW, after(1.0)) is TODO


def test_the_next_waits_for_the_rest_of_its_second_and_what_is_told_does_not() -> None:
    held = hold_back(TODO, make.NOW, after(0.25))
    assert held == Plan(statuses=(STATUS,), look_again_after=0.75)


@pytest.mark.parametrize(("again", "soonest"), [(0.1, 0.1), (30.0, 0.75)])
def test_what_was_to_be_looked_at_sooner_still_is(again: float, soonest: float) -> None:
    todo = Plan(config=TODO.config, look_again_after=again)
    assert hold_back(todo, make.NOW, after(0.25)).look_again_after == soonest


def test_a_config_map_that_is_not_there_is_made_at_once() -> None:
    todo = Plan(config=WriteConfig({}, None))
    assert hold_back(todo, make.NOW, after(0.1)) is todo


@pytest.mark.parametrize("seconds", [86_400, -86_400, 3600, -3600, -0.5])
def test_input_27_a_clock_that_was_set_holds_nothing_back(seconds: float) -> None:
    assert hold_back(TODO, make.NOW, after(seconds)) is TODO


def test_a_plan_without_a_config_is_left_as_it_is() -> None:
    todo = Plan(statuses=(STATUS,))
    assert hold_back(todo, make.NOW, after(0.1)) is todo
