"""`models.json` is written at once when it was quiet, and once a second while models come and go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from manyserve.plan.actions import Nudge, Plan, SetStatus, WriteConfig
from manyserve.plan.pace import hold_back, paced, without_young
from tests.support import make

STATUS = make.status_write("a")
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


def on_its_way(name: str, since: str | None = "2026-01-01T00:00:00Z", *, waits: bool = True) -> SetStatus:
    return make.status_write(name, can_wait=waits, first_since=since)


def test_a_model_just_created_is_not_told_that_it_is_on_its_way() -> None:
    todo = Plan(statuses=(on_its_way("a"), STATUS))
    young = without_young(todo, after(0.5))
    assert young == Plan(statuses=(STATUS,), look_again_after=1.5), "what is final is told at once"
    assert without_young(todo, after(2.0)) is todo, "after two seconds it is told"


def test_while_new_models_wait_for_their_second_they_are_told_later() -> None:
    todo = Plan(config=WriteConfig({}, "7"), statuses=(on_its_way("a"), STATUS))
    assert paced(todo, make.NOW, after(0.5)) == Plan(statuses=(STATUS,), look_again_after=0.5)
    assert paced(todo, None, after(4.0)) == replace(todo, statuses=(STATUS,), look_again_after=1.0)
    assert paced(todo, None, after(5.0)) == todo
    assert paced(replace(todo, config=None), None, after(4.0)).statuses == todo.statuses, "all are in models.json"


@pytest.mark.parametrize("since", [None, "", "yesterday", "2026-01-01T00:00:00", "2027-01-01T00:00:00Z"])
def test_a_model_whose_age_nobody_knows_is_told_at_once(since: str | None) -> None:
    todo = Plan(statuses=(on_its_way("a", since),))
    assert without_young(todo, after(0.5)) is todo


def test_a_new_model_that_waits_for_something_is_told_so_at_once() -> None:
    todo = Plan(statuses=(on_its_way("a", waits=False),))
    assert without_young(todo, after(0.5)) is todo
