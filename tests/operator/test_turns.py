"""Whose turn it is in a crowd: who was written lately waits a gap, another one until its own models make a pause."""

from __future__ import annotations

import pytest

from manyserve.api.names import Key
from manyserve.operator.turns import PAUSE, SHARES, Turns
from manyserve.plan.pace import LONGEST_GAP, Traffic, pay
from tests.support import make

HOST = Key("default", "triton-mms")
HUNDRED = [Key("default", str(number)) for number in range(100)]
WRITTEN = pay(Traffic(), make.NOW)


@pytest.fixture
def turns() -> Turns:
    return Turns()


def test_a_model_beside_a_crowd_waits_for_a_second(turns: Turns) -> None:
    crowd_on(turns, HUNDRED, until=1.0)
    assert not turns.heard(HOST, 1.0)
    assert turns.wait(HOST, 1.0) == PAUSE
    crowd_on(turns, HUNDRED, begin=1.1, until=2.0)
    assert list(turns.come(1.9)) == []
    assert list(turns.come(2.0)) == [HOST]
    assert list(turns.come(2.1)) == [], "once"
    assert turns.wait(HOST, 2.1) == 0


def test_a_host_to_which_more_and_more_comes_waits_for_most_of_a_gap(turns: Turns) -> None:
    crowd_on(turns, HUNDRED, until=3.2)
    assert list(turns.come(3.2)) == []
    crowd_on(turns, HUNDRED, begin=3.3, until=9.9)
    come = list(turns.come(9.9))
    assert len(HUNDRED) > len(come) > 90
    assert all(turns.wait(key, 9.9) == 0 for key in come)
    crowd_on(turns, HUNDRED, begin=10.0, until=10.0)
    assert len(list(turns.come(10.0))) == len(HUNDRED) - len(come)


def test_hosts_whose_news_came_together_are_not_due_together(turns: Turns) -> None:
    crowd_on(turns, HUNDRED, until=0.0)
    came = []
    for tenth in range(1, 101):
        crowd_on(turns, HUNDRED, begin=tenth / 10, until=tenth / 10)
        came.append(len(list(turns.come(tenth / 10))))
    assert sum(came) == len(HUNDRED)
    assert max(came) <= len(HUNDRED) / len(SHARES) + 1


def test_of_few_hosts_none_waits_for_a_pause(turns: Turns) -> None:
    crowd_on(turns, HUNDRED[:10], until=0.0)
    assert turns.wait(HUNDRED[0], 0.0) == 0
    assert list(turns.come(0.0)) == HUNDRED[:10]
    crowd_on(turns, HUNDRED[10:11], until=0.0)
    assert turns.wait(HUNDRED[10], 0.0) > 0
    assert turns.wait(HUNDRED[0], 0.0) == 0, "its turn has come"


def test_a_host_whose_turn_has_come_goes_on_having_it_until_it_is_written(turns: Turns) -> None:
    crowd_on(turns, [HOST], until=0.0)
    assert list(turns.come(0.0)) == [HOST]
    assert turns.heard(HOST, 0.1)
    assert list(turns.come(0.2)) == []
    turns.wrote(HOST, WRITTEN, 0.3)
    assert not turns.heard(HOST, 0.4)


def test_a_host_that_was_written_lately_has_its_turn_a_gap_later(turns: Turns) -> None:
    turns.wrote(HOST, WRITTEN, 0.0)
    turns.heard(HOST, 0.2)
    assert list(turns.come(0.9)) == []
    assert list(turns.come(1.0)) == [HOST], "the shortest gap"


def test_of_many_hosts_one_that_was_written_lately_waits_for_a_gap_and_for_a_pause_of_its_own(turns: Turns) -> None:
    turns.wrote(HOST, WRITTEN, 0.0)
    for key in HUNDRED[:49]:
        turns.wrote(key, WRITTEN, 0.5)
    turns.heard(HOST, 0.2)
    assert list(turns.come(4.9)) == []
    assert list(turns.come(5.0)) == [HOST]
    turns.wrote(HOST, WRITTEN, 5.0)
    turns.heard(HOST, 9.8)
    assert list(turns.come(10.1)) == [], "more may come"
    assert list(turns.come(10.8)) == [HOST]


def test_what_was_written_is_forgotten_when_it_keeps_nobody_waiting(turns: Turns) -> None:
    turns.wrote(HOST, WRITTEN, 0.0)
    assert turns.last(HOST, LONGEST_GAP - 0.1)
    assert not turns.last(HOST, LONGEST_GAP)
    turns.wrote(HOST, WRITTEN, 20.0)
    turns.failed(HOST)
    assert not turns.last(HOST, 20.0), "it was not"


def test_all_that_are_written_or_wait_are_busy(turns: Turns) -> None:
    assert turns.busy(HOST) == 1
    crowd_on(turns, HUNDRED[:20], until=0.0)
    assert (turns.busy(HOST), turns.busy(HUNDRED[0])) == (21, 20)
    turns.wrote(HUNDRED[0], WRITTEN, 0.0)
    assert turns.busy(HOST) == 21
    turns.all_have_come()
    assert turns.busy(HOST) == 2


def crowd_on(turns: Turns, hosts: list[Key], *, until: float, begin: float = 0.0) -> None:
    """Have news of each host ten times a second."""
    for tenth in range(round(begin * 10), round(until * 10) + 1):
        for key in hosts:
            turns.heard(key, tenth / 10)
