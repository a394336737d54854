"""Staged roll-outs: few hosts at a time, each in its turn, and none without a bound."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.names import Key
from manyserve.api.servingconfig import RolloutConfig
from manyserve.plan.staging import REFUSED, Rollouts
from tests.support import make

A, B, C, D = (Key("team", name) for name in "abcd")
ONE = RolloutConfig()
TWO = RolloutConfig(max_hosts=2)
TIMEOUT = timedelta(seconds=ONE.host_seconds)
EARLIER = make.NOW - timedelta(minutes=1)


def rollouts(*begun: Key, waiting: tuple[Key, ...] = (), since: datetime = EARLIER) -> Rollouts:
    return Rollouts(dict.fromkeys(begun, since), dict.fromkeys(waiting, EARLIER))


def test_first_host_begins_at_once() -> None:
    assert rollouts().after(A, make.NOW, ONE) is None


def test_second_host_waits_for_the_first() -> None:
    assert rollouts(B).after(A, make.NOW, ONE) == B


def test_host_that_has_begun_goes_on() -> None:
    assert rollouts(A, B).after(A, make.NOW, ONE) is None


def test_hosts_wait_for_the_one_before_them_in_the_order_of_namespace_and_name() -> None:
    line = rollouts(D, waiting=(C, A, B))
    assert [line.after(each, make.NOW, ONE) for each in (A, B, C)] == [D, A, B]
    assert rollouts(waiting=(A, B)).after(C, make.NOW, ONE) == B, "a free slot is for the first one"
    assert rollouts(waiting=(A, B)).after(A, make.NOW, ONE) is None


def test_two_hosts_at_a_time_leave_each_host_one_place_earlier() -> None:
    line = rollouts(D, waiting=(A, B, C))
    assert [line.after(each, make.NOW, TWO) for each in (A, B, C)] == [None, D, A]


def test_host_leaves_its_slot_after_the_timeout() -> None:
    late = make.NOW - TIMEOUT
    assert rollouts(B, since=late).after(A, make.NOW, ONE) is None
    assert rollouts(B, since=late + timedelta(seconds=1)).after(A, make.NOW, ONE) == B


def test_host_with_a_refused_deployment_goes_last() -> None:
    line = rollouts(A, waiting=(A, B), since=REFUSED)
    assert line.after(B, make.NOW, ONE) is None
    assert line.after(A, make.NOW, ONE) == B
    assert rollouts(A, waiting=(A,), since=REFUSED).after(A, make.NOW, ONE) is None


def test_host_that_did_not_become_ready_in_its_time_keeps_its_place_for_the_next_template() -> None:
    line = rollouts(A, waiting=(A, B), since=make.NOW - TIMEOUT)
    assert line.after(A, make.NOW, ONE) is None
    assert line.after(B, make.NOW, ONE) == A


def test_host_without_a_recent_plan_holds_up_no_other() -> None:
    assert Rollouts({}, {A: make.NOW - TIMEOUT}).after(B, make.NOW, ONE) is None


def test_time_alone_lets_the_next_host_begin_when_the_first_slot_ends() -> None:
    assert rollouts().seconds_left(make.NOW, ONE) is None
    assert rollouts(A).seconds_left(make.NOW, ONE) == ONE.host_seconds - 60
    assert rollouts(A, since=make.NOW - TIMEOUT).seconds_left(make.NOW, ONE) is None


class Fleet:
    """Hosts that all have a new template. A host is ready after its minutes; None: never."""

    def __init__(self, minutes: dict[Key, int | None], limits: RolloutConfig) -> None:
        self.minutes, self.limits, self.now = minutes, limits, make.NOW
        self.waiting: dict[Key, datetime] = {}
        self.begun: dict[Key, datetime] = {}
        self.order: list[Key] = []
        self.most = 0

    @property
    def snapshot(self) -> Rollouts:
        return Rollouts(dict(self.begun), dict(self.waiting))

    def step(self, planned: list[Key]) -> None:
        """Plan each host that has not begun, in this order, a minute later."""
        self.now += timedelta(minutes=1)
        for host, since in list(self.begun.items()):
            needed = self.minutes[host]
            if needed is not None and self.now - since >= timedelta(minutes=needed):
                del self.begun[host]
        for host in (each for each in planned if each not in self.order):
            if self.snapshot.after(host, self.now, self.limits) is None:
                self.waiting.pop(host, None)
                self.begun[host] = self.now
                self.order.append(host)
            else:
                self.waiting[host] = self.now
        busy = [host for host in self.begun if self.snapshot.has_slot(host, self.now, self.limits)]
        self.most = max(self.most, len(busy))


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    hosts = [
        Key(draw(st.sampled_from(("team-a", "team-b"))), f"h{number}") for number in range(draw(st.integers(1, 8)))
    ]
    minutes = {host: draw(st.one_of(st.none(), st.integers(1, 40))) for host in hosts}
    return Fleet(minutes, RolloutConfig(max_hosts=draw(st.integers(1, 4)), host_timeout="15m"))


@given(fleets(), st.randoms(use_true_random=False))
def test_no_more_than_max_hosts_have_a_slot_and_each_host_gets_its_turn(fleet: Fleet, random: Random) -> None:
    for _ in range(16 * len(fleet.minutes)):
        planned = list(fleet.minutes)
        random.shuffle(planned)
        fleet.step(planned)
    assert fleet.most <= fleet.limits.max_hosts
    assert sorted(fleet.order) == sorted(fleet.minutes), "a stuck host is passed"


@given(fleets())
def test_hosts_begin_in_the_order_of_namespace_and_name(fleet: Fleet) -> None:
    for _ in range(16 * len(fleet.minutes)):
        fleet.step(sorted(fleet.minutes))
    assert fleet.order == sorted(fleet.minutes)
