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
    assert turns.heard(HOST, 1.0) is None
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


def test_a_crowd_on_one_host_waits_for_no_longer_than_a_second(turns: Turns) -> None:
    crowd_on(turns, [HOST], until=1.0)
    assert list(turns.come(1.0)) == [HOST]


def test_a_host_that_has_waited_is_looked_at_once_a_second(turns: Turns) -> None:
    crowd_on(turns, [HOST], until=1.0)
    assert list(turns.come(1.0)) == [HOST]
    assert turns.heard(HOST, 1.1) == 1.0
    assert turns.wait(HOST, 1.1) == 0


def test_a_host_that_was_written_lately_has_its_turn_a_gap_later(turns: Turns) -> None:
    turns.wrote(HOST, WRITTEN, 0.0)
    assert turns.heard(HOST, 0.2) == 1.0, "the shortest gap"
    crowd_on(turns, HUNDRED[:49], until=0.2)
    assert turns.heard(HOST, 0.2) == pytest.approx(4.8)
    assert turns.wait(HOST, 0.2) == 0, "it does not wait for a pause besides"


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


def test_writes_are_counted_for_a_second(turns: Turns) -> None:
    for number, key in enumerate(HUNDRED[:20]):
        turns.wrote(key, WRITTEN, number / 10)
    turns.wrote(HUNDRED[0], WRITTEN, 1.95)
    assert turns.written(2.0) == 10


def crowd_on(turns: Turns, hosts: list[Key], *, until: float, begin: float = 0.0) -> None:
    """Have news of each host ten times a second."""
    for tenth in range(round(begin * 10), round(until * 10) + 1):
        for key in hosts:
            turns.heard(key, tenth / 10)
