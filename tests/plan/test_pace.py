"""`models.json` is written at once when it was quiet, and once a second while models come and go; the rest waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.plan.actions import ConfigRefresh, Plan, SetStatus, WriteConfig
from manyserve.plan.pace import LONGEST_GAP, Traffic, Written, hold_back, paced, pay, seconds_left, without_young
from tests.support import make

STATUS = make.status_write("a")
TODO = Plan(config=WriteConfig({}, "7"), config_refreshes=(ConfigRefresh("p", "u", "hash"),), statuses=(STATUS,))


def after(seconds: float) -> Any:
    return make.NOW + timedelta(seconds=seconds)


def traffic(paid: float | None = None, **around: Any) -> Traffic:
    """Return the traffic around a host whose `models.json` was last written a second before it is paid for."""
    return Traffic(None if paid is None else Written(after(paid - 1), after(paid)), **around)


def test_the_first_change_goes_out_at_once() -> None:
    assert hold_back(TODO, traffic(), make.NOW) is TODO
    assert hold_back(TODO, traffic(paid=1.0), after(1.0)) is TODO


def test_the_next_waits_for_the_rest_of_its_second_and_what_is_told_does_not() -> None:
    held = hold_back(TODO, traffic(paid=1.0), after(0.25))
    assert held == Plan(statuses=(STATUS,), requeue_after=0.75)


def test_when_users_make_a_pause_one_goes_out_before_its_time() -> None:
    assert hold_back(TODO, traffic(paid=1.0, quiet=True), after(0.25)) is TODO
    held = hold_back(TODO, traffic(paid=2.0, quiet=True), after(0.5))
    assert held == Plan(statuses=(STATUS,), requeue_after=0.5), "one, not two"


@pytest.mark.parametrize(("busy", "gap"), [(1, 1.0), (10, 1.0), (50, 5.0), (100, 10.0), (1000, 10.0)])
def test_the_seconds_are_longer_while_users_change_many_hosts(busy: int, gap: float) -> None:
    at_it = traffic(paid=1.0, busy=busy, crowd=True)
    assert seconds_left(at_it, after(0.5)) == gap - 0.5
    assert seconds_left(replace(at_it, quiet=True), after(0.5)) == 0, "when they make a pause they are not"
    assert seconds_left(replace(at_it, crowd=False), after(0.5)) == 0.5


@given(
    asked=st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.booleans()), min_size=2, max_size=60),
    busy=st.integers(1, 200),
)
def test_in_any_stretch_of_time_there_are_two_writes_more_than_it_has_seconds(
    asked: list[tuple[float, bool, bool]], busy: int
) -> None:
    now, had, written = 0.0, None, list[float]()
    for pause, quiet, crowd in asked:
        now += pause
        around = Traffic(had, busy, quiet=quiet, crowd=crowd)
        if hold_back(TODO, around, after(now)).config:
            had = pay(around, after(now))
            written.append(now)
    assert all(
        count < end - begin + 2.001
        for first, begin in enumerate(written)
        for count, end in enumerate(written[first:], start=1)
    )


@pytest.mark.parametrize("again", [0.1, 30.0])
def test_nobody_looks_whether_the_pods_that_are_not_touched_yet_have_heard_it(again: float) -> None:
    todo = Plan(config=TODO.config, requeue_after=again)
    assert hold_back(todo, traffic(paid=1.0), after(0.25)).requeue_after == 0.75


def test_in_a_crowd_a_host_waits_until_no_more_comes_and_is_touched_then() -> None:
    at_it = traffic(crowd=True, wait=0.4)
    held = Plan(statuses=(STATUS,), requeue_after=LONGEST_GAP)
    assert hold_back(TODO, at_it, make.NOW) == held
    assert hold_back(TODO, traffic(paid=1.0, crowd=True, wait=0.4), after(1.0)) == held
    assert hold_back(TODO, replace(at_it, wait=0.0), make.NOW) is TODO


def test_a_config_map_that_is_not_there_is_made_at_once() -> None:
    todo = Plan(config=WriteConfig({}, None))
    assert hold_back(todo, traffic(paid=1.0), after(0.1)) is todo


@pytest.mark.parametrize("seconds", [86_400, -86_400, 3600, -3600])
def test_input_27_a_clock_that_was_set_holds_nothing_back(seconds: float) -> None:
    assert hold_back(TODO, traffic(paid=1.0), after(seconds)) is TODO
    assert pay(traffic(paid=1.0), after(seconds)) == Written(after(seconds), after(seconds + 1))


def test_a_plan_without_a_config_is_left_as_it_is() -> None:
    todo = Plan(statuses=(STATUS,))
    assert hold_back(todo, traffic(paid=1.0), after(0.1)) is todo


def on_its_way(name: str, since: str | None = "2026-01-01T00:00:00Z", *, waits: bool = True) -> SetStatus:
    return make.status_write(name, can_wait=waits, first_since=since)


def test_a_model_just_created_is_not_told_that_it_is_on_its_way() -> None:
    todo = Plan(statuses=(on_its_way("a"), STATUS))
    young = without_young(todo, after(0.5))
    assert young == Plan(statuses=(STATUS,), requeue_after=1.5), "what is final is told at once"
    assert without_young(todo, after(2.0)) is todo, "after two seconds it is told"


def test_while_new_models_wait_for_their_second_they_are_told_later() -> None:
    todo = Plan(config=WriteConfig({}, "7"), statuses=(on_its_way("a"), STATUS))
    assert paced(todo, traffic(paid=1.0), after(0.5)) == Plan(statuses=(STATUS,), requeue_after=0.5)
    assert paced(todo, traffic(), after(4.0)) == replace(todo, statuses=(STATUS,), requeue_after=1.0)
    assert paced(todo, traffic(), after(5.0)) == todo
    assert paced(replace(todo, config=None), traffic(), after(4.0)).statuses == todo.statuses, "all are in models.json"
    crowded = replace(todo, statuses=(STATUS,), requeue_after=59.0)
    assert paced(todo, traffic(crowd=True), after(1.0)) == crowded, "users are at it"
    assert paced(todo, traffic(crowd=True, quiet=True), after(1.0)) == replace(
        todo, statuses=(STATUS,), requeue_after=4.0
    )


@pytest.mark.parametrize("quiet", [False, True])
def test_a_changed_model_of_a_crowd_is_not_told_that_its_newest_spec_is_on_its_way_for_a_minute(quiet: bool) -> None:
    todo = Plan(statuses=(make.status_write("a", renewed_since=make.NOW), STATUS))
    assert paced(todo, traffic(), after(1.0)) == todo, "one by one, they are told at once"
    crowd = traffic(crowd=True, quiet=quiet)
    assert paced(todo, crowd, after(1.0)) == Plan(statuses=(STATUS,), requeue_after=59.0)
    assert paced(todo, crowd, after(60.0)) == todo
    assert paced(todo, crowd, after(-1.0)) == todo, "the clock was set"


def test_what_a_host_counts_is_told_when_it_is_in_models_json() -> None:
    counts = make.status_write("host", counts=True)
    todo = Plan(config=WriteConfig({}, "7"), statuses=(counts, STATUS))
    assert paced(todo, traffic(paid=1.0), after(0.5)) == Plan(statuses=(STATUS,), requeue_after=0.5)
    assert paced(todo, traffic(), after(0.5)) == todo
    assert paced(replace(todo, config=None), traffic(paid=1.0), after(0.5)).statuses == todo.statuses


@pytest.mark.parametrize("since", [None, "", "yesterday", "2026-01-01T00:00:00", "2027-01-01T00:00:00Z"])
def test_a_model_whose_age_nobody_knows_is_told_at_once(since: str | None) -> None:
    todo = Plan(statuses=(on_its_way("a", since),))
    assert without_young(todo, after(0.5)) is todo


def test_a_new_model_that_waits_for_something_is_told_so_at_once() -> None:
    todo = Plan(statuses=(on_its_way("a", waits=False),))
    assert without_young(todo, after(0.5)) is todo
