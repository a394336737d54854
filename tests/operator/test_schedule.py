"""When a host is due: coalesced, never twice at once, backing off, and brought forward by a change."""

from __future__ import annotations

import pytest

from manyserve.api.names import Key
from manyserve.operator.schedule import Pace, Schedule

A, B = Key("default", "a"), Key("default", "b")
PACE = Pace(debounce=0.03, gap=0.2, first_backoff=1.0, longest_backoff=60.0, longest_when_touched=5.0)


@pytest.fixture
def schedule() -> Schedule:
    return Schedule(PACE, jitter=lambda: 1.0)


def test_many_touches_are_one_run_a_moment_after_the_first(schedule: Schedule) -> None:
    for moment in (0.0, 0.01, 0.02):
        schedule.touch(A, moment)
    assert schedule.take(0.029) is None
    assert schedule.take(0.03) == A
    assert schedule.take(0.03) is None


def test_a_host_that_runs_is_not_taken_again(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    schedule.take(1)
    schedule.touch(A, 2)
    assert schedule.take(10) is None


def test_what_is_touched_while_it_runs_runs_once_more_after(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    schedule.take(1)
    schedule.touch(A, 1.01)
    schedule.touch(A, 1.02)
    schedule.done(A, 1.1)
    assert schedule.take(1.19) is None, "not before the gap"
    assert schedule.take(1.2) == A
    schedule.done(A, 1.3)
    assert schedule.next_due() is None


def test_two_runs_of_a_host_are_a_gap_apart_but_two_hosts_are_not(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    assert schedule.take(0.03) == A
    schedule.done(A, 0.04)
    schedule.touch(A, 0.05)
    schedule.touch(B, 0.05)
    assert schedule.take(0.1) == B
    assert schedule.take(0.1) is None
    assert schedule.take(0.24) == A


def test_time_alone_brings_a_host_back_when_the_plan_says_so(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    schedule.take(1)
    schedule.done(A, 1.5, look_again_after=4)
    assert schedule.next_due() == 5.5
    schedule.touch(A, 2)
    assert schedule.take(2.03) == A, "a touch comes first"


def test_failures_back_off_up_to_a_limit(schedule: Schedule) -> None:
    now, pauses = 0.0, []
    schedule.touch(A, now)
    for _ in range(8):
        due = schedule.next_due()
        assert due is not None
        now = due
        schedule.take(now)
        pauses.append(schedule.failed(A, now))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_change_brings_a_failing_host_forward_but_not_into_a_storm(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    for now in (1, 10, 20, 30, 40):
        schedule.take(now)
        schedule.failed(A, now)
        schedule.touch(A, now + 0.5)
    assert schedule.next_due() == 45, "5 seconds after the last failure, not 16, and not at once"


def test_success_ends_the_backoff(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    schedule.take(1)
    schedule.failed(A, 1)
    schedule.take(2)
    schedule.done(A, 2)
    schedule.touch(A, 3)
    assert schedule.take(3.03) == A


def test_the_api_servers_wish_to_wait_is_kept_even_when_touched(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    schedule.take(1)
    schedule.failed(A, 1, retry_after=30)
    schedule.touch(A, 2)
    assert schedule.next_due() == 31


def test_idle_hosts_are_forgotten_and_waiting_ones_are_not(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    schedule.take(1)
    schedule.done(A, 1)
    schedule.touch(B, 99)
    schedule.forget_idle(100)
    assert list(schedule._entries) == [B]


def test_a_host_whose_plan_took_long_is_not_planned_again_at_once(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    schedule.take(1)
    schedule.touch(A, 1.1)
    schedule.done(A, 1.5, planning=0.4)
    assert schedule.take(2.19) is None, "three times as long as its plan took"
    assert schedule.take(2.2) == A


def test_it_is_a_hosts_turn_again_while_it_runs_when_there_is_news_and_its_gap_is_over(schedule: Schedule) -> None:
    schedule.touch(A, 0)
    schedule.take(1)
    assert not schedule.is_due(A, 9), "nothing happened"
    schedule.touch(A, 1.1)
    assert not schedule.is_due(A, 1.19)
    assert schedule.is_due(A, 1.2)


@pytest.mark.parametrize("while_it_runs", [True, False])
def test_a_host_that_is_hastened_comes_next_whatever_its_plan_took(schedule: Schedule, *, while_it_runs: bool) -> None:
    schedule.touch(A, 0)
    schedule.take(1.0)
    if while_it_runs:
        schedule.hasten(A, 1.1)
    schedule.done(A, 1.5, planning=1.0)
    if not while_it_runs:
        schedule.hasten(A, 1.5)
    assert schedule.take(1.6) == A
    schedule.touch(A, 1.7)
    schedule.done(A, 2.0, planning=1.0)
    assert schedule.take(4.5) is None, "once"
    assert schedule.take(4.6) == A


def test_a_host_that_is_hastened_waits_for_the_gap_and_for_the_end_of_its_pause_all_the_same(
    schedule: Schedule,
) -> None:
    schedule.touch(A, 0)
    schedule.take(1.0)
    schedule.done(A, 1.05)
    schedule.hasten(A, 1.06)
    assert schedule.take(1.19) is None
    assert schedule.take(1.2) == A
    schedule.failed(A, 1.3)
    schedule.hasten(A, 1.4)
    assert schedule.take(2.2) is None
    assert schedule.take(2.3) == A
