"""Acknowledgements of routers: which are waited for, and for how long."""

from __future__ import annotations

import pytest

from manyserve.agent.routes.routers import BOUND_SECONDS, MAX_ROUTERS, SILENCE_SECONDS, START_SECONDS, Routers

T0 = 1000.0
"""Time of the wait, long after the start of the agent."""


@pytest.fixture
def routers() -> Routers:
    return Routers(started=0.0)


def test_wait_ends_at_once_without_routers(routers: Routers) -> None:
    assert routers.seconds_to_wait(5, T0, T0) == 0


def test_new_agent_waits_for_unknown_routers() -> None:
    routers = Routers(started=T0)
    assert routers.seconds_to_wait(1, T0 + 1, T0 + 1) == START_SECONDS - 1
    assert routers.seconds_to_wait(1, T0 + 1, T0 + START_SECONDS) == 0


def test_wait_ends_when_each_router_has_seen_the_revision(routers: Routers) -> None:
    routers.hear("a", 4, T0)
    routers.hear("b", 5, T0)
    assert routers.seconds_to_wait(5, T0, T0) > 0
    routers.hear("a", 5, T0 + 1)
    assert routers.seconds_to_wait(5, T0, T0 + 1) == 0


def test_silent_router_is_waited_for_until_its_silence_is_over(routers: Routers) -> None:
    routers.hear("a", 4, T0 - 1)
    assert routers.seconds_to_wait(5, T0, T0) == SILENCE_SECONDS - 1
    assert routers.seconds_to_wait(5, T0, T0 - 1 + SILENCE_SECONDS) == 0


def test_wait_for_a_router_that_polls_without_acknowledgement_is_bounded(routers: Routers) -> None:
    for second in range(int(BOUND_SECONDS)):
        routers.hear("a", 4, T0 + second)
        assert routers.seconds_to_wait(5, T0, T0 + second) > 0
    routers.hear("a", 4, T0 + BOUND_SECONDS)
    assert routers.seconds_to_wait(5, T0, T0 + BOUND_SECONDS) == 0


def test_lagging_router_delays_one_unload_until_it_has_caught_up(routers: Routers) -> None:
    routers.hear("fake", 0, T0)
    routers.hear("good", 5, T0)
    assert routers.end_wait(5, 7, T0) == ("fake",)
    assert routers.seconds_to_wait(8, T0, T0) > 0, "the good one has not seen revision 8"
    routers.hear("good", 8, T0)
    assert routers.seconds_to_wait(8, T0, T0) == 0
    routers.hear("fake", 6, T0)
    assert routers.seconds_to_wait(8, T0, T0) == 0
    routers.hear("fake", 7, T0)
    assert routers.seconds_to_wait(8, T0, T0) > 0, "it has seen the revision at which it was late"


def test_router_that_restarts_keeps_its_acknowledgements(routers: Routers) -> None:
    routers.hear("a", 5, T0)
    routers.hear("a", 0, T0 + 1)
    assert routers.seconds_to_wait(5, T0, T0 + 1) == 0


def test_ended_router_is_not_waited_for(routers: Routers) -> None:
    routers.hear("a", 4, T0)
    routers.forget("a")
    assert routers.seconds_to_wait(5, T0, T0) == 0


def test_number_of_routers_is_bounded_until_one_is_silent(routers: Routers) -> None:
    assert all(routers.hear(f"r{number}", 0, T0) for number in range(MAX_ROUTERS))
    assert not routers.hear("one-more", 0, T0 + 1)
    assert routers.hear("r0", 0, T0 + 1), "a known router is heard"
    assert routers.hear("one-more", 0, T0 + SILENCE_SECONDS)


def test_revision_is_routed_when_each_counting_router_has_seen_it(routers: Routers) -> None:
    assert routers.seen_by_all(T0) == 0, "no router counts"
    routers.hear("a", 5, T0)
    assert routers.seen_by_all(T0) == 5
    routers.hear("b", 4, T0)
    assert routers.seen_by_all(T0) == 4
    routers.end_wait(5, 5, T0)
    assert routers.seen_by_all(T0) == 5, "a lagging router does not count"
    routers.hear("b", 4, T0 + 15)
    assert routers.seen_by_all(T0 + SILENCE_SECONDS) == 0, "only the lagging one is heard"
