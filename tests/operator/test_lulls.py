"""Who holds something back is touched when users make a pause, or when a crowd of models has been told all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import pytest

from manyserve.api.names import Key
from manyserve.operator.lulls import BREATH, CROWD, HOSTS, QUIET, Lulls
from manyserve.plan.actions import Plan, WriteConfig
from tests.support import make

HOST, OTHER, CROWDED = (Key("default", name) for name in ("triton-mms", "other", "crowded"))
WRITE = Plan(config=WriteConfig({}, "7"))


@dataclass
class Case:
    """A clock, and who was touched, and how long they may wait."""

    seconds: float = 0.0
    waits: list[tuple[Key, float]] = field(default_factory=list)
    hastened: list[Key] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lulls = Lulls(
            lambda key, after: self.waits.append((key, after)),
            self.hasten,
            lambda: self.seconds,
        )

    def hasten(self, key: Key) -> None:
        self.waits.append((key, 0.0))
        self.hastened.append(key)

    @property
    def now(self) -> datetime:
        return make.NOW + timedelta(seconds=self.seconds)

    def after(self, seconds: float) -> list[Key]:
        """Return who is touched by a look after so many seconds more."""
        self.seconds += seconds
        return self.touched_by(self.lulls.look)

    def touched_by(self, act: Callable[[], None]) -> list[Key]:
        """Return who is touched."""
        self.waits.clear()
        act()
        return [key for key, _ in self.waits if key != CROWDED]

    def paced(self, todo: Plan, host: Key = HOST) -> Plan:
        return self.lulls.paced(host, todo, self.now)


@pytest.fixture
def case() -> Case:
    return Case()


def test_what_came_after_a_first_write_goes_out_when_users_make_a_pause(case: Case) -> None:
    case.lulls.news(HOST)
    assert case.paced(WRITE).config
    case.seconds = 0.05
    assert not case.paced(WRITE).config
    assert case.after(QUIET - 0.06) == []
    assert case.after(0.02) == [HOST]
    assert case.after(0.02) == [], "once"
    assert case.paced(WRITE).config
    assert not case.paced(WRITE).config, "it is the next second's that was spent"


def test_a_crowd_has_the_way_to_itself_while_it_comes(case: Case) -> None:
    assert not case.lulls.narrow()
    crowd(case)
    assert case.lulls.narrow()
    case.seconds += BREATH + 0.01
    assert not case.lulls.narrow(), "long before it is said that all have come"
    case.lulls.news(HOST)
    assert case.lulls.narrow()


def test_a_write_that_failed_is_not_paid_for(case: Case) -> None:
    case.lulls.news(HOST)
    case.paced(WRITE)
    case.lulls.failed(HOST)
    assert case.paced(WRITE).config


def test_hosts_are_busy_for_ten_seconds(case: Case) -> None:
    for number in range(20):
        case.paced(WRITE, Key("default", str(number)))
    case.seconds += 9.9
    assert case.lulls.around(HOST).busy == 21
    case.seconds += 0.2
    assert case.lulls.around(HOST).busy == 1


def crowd(case: Case, tenths: int = 5) -> None:
    for _ in range(tenths * CROWD // 5):
        case.seconds += 0.01
        case.lulls.news(CROWDED)


def test_a_few_models_are_no_crowd(case: Case) -> None:
    for _ in range(3 * CROWD):
        case.seconds += 0.03
        case.lulls.news(HOST)
    assert not case.lulls.crowd


def many_are_busy(case: Case) -> None:
    for number in range(50):
        case.paced(WRITE, Key("default", str(number)))


def test_a_host_is_touched_at_once_for_one_model_and_once_a_gap_for_a_crowd(case: Case) -> None:
    case.lulls.news(HOST)
    assert case.waits == [(HOST, 0.0)]
    crowd(case)
    case.paced(WRITE)
    assert case.touched_by(lambda: case.lulls.news(HOST)) == []
    crowd(case, tenths=9)
    assert case.after(0.0) == []
    crowd(case, tenths=1)
    assert case.after(0.0) == [HOST]
    assert case.touched_by(lambda: case.lulls.news(HOST)) == [HOST]
    assert case.waits == [(HOST, 1.0)], "its turn has come already"


def test_in_a_crowd_on_many_hosts_those_wait_long_whose_turn_was_lately(case: Case) -> None:
    many_are_busy(case)
    crowd(case)
    case.lulls.news(Key("default", "7"))
    crowd(case, tenths=45)
    assert case.after(0.0) == []
    crowd(case, tenths=2)
    assert case.after(0.0) == [Key("default", "7")]


def test_in_a_crowd_a_host_that_was_not_written_waits_until_its_own_models_make_a_pause(case: Case) -> None:
    many_are_busy(case)
    crowd(case)
    case.waits.clear()
    case.lulls.news(OTHER)
    assert not case.paced(WRITE, OTHER).config
    assert case.waits == []
    crowd(case, tenths=9)
    assert case.after(0.0) == []
    crowd(case, tenths=2)
    assert case.after(0.0) == [OTHER]
    assert case.paced(WRITE, OTHER).config


def test_in_a_crowd_a_host_that_nobody_changes_waits_for_nothing(case: Case) -> None:
    crowd(case)
    assert case.paced(WRITE, OTHER).config


def test_when_all_have_come_nobody_waits(case: Case) -> None:
    many_are_busy(case)
    crowd(case)
    case.lulls.news(OTHER)
    assert not case.paced(WRITE, OTHER).config
    assert case.after(QUIET) == [OTHER]
    assert case.paced(WRITE, OTHER).config


def test_a_host_is_hastened_by_the_pause_of_a_crowd_and_not_by_one_of_each_user(case: Case) -> None:
    case.lulls.news(HOST)
    case.paced(WRITE)
    assert not case.paced(WRITE).config
    assert case.after(QUIET) == [HOST]
    assert case.hastened == []
    crowd(case)
    case.lulls.news(HOST)
    assert case.after(QUIET + 0.01) == [HOST]
    assert HOST in case.hastened


def test_what_came_before_a_pause_is_no_crowd(case: Case) -> None:
    many_are_busy(case)
    case.lulls.news(OTHER)
    case.seconds += QUIET
    crowd(case)
    assert case.paced(WRITE, OTHER).config, "it does not wait for what came before the crowd"


def test_eleven_hosts_of_a_second_are_a_crowd_and_wait_for_its_end(case: Case) -> None:
    hosts = [Key("default", str(number)) for number in range(HOSTS + 1)]
    for key in hosts[:-1]:
        assert case.touched_by(partial(case.lulls.news, key)) == [key]
    assert case.paced(WRITE, hosts[0]).config, "nobody knew yet"
    assert case.touched_by(partial(case.lulls.news, hosts[-1])) == []
    assert not any(case.paced(WRITE, key).config for key in hosts[1:])
    assert set(case.after(QUIET)) == set(hosts[1:])


def test_eleven_hosts_one_a_tenth_of_a_second_are_no_crowd(case: Case) -> None:
    for number in range(HOSTS + 1):
        case.seconds += 0.11
        case.lulls.news(Key("default", str(number)))
    assert not case.lulls.crowd


def test_hosts_that_are_written_when_no_user_changes_anything_are_no_crowd(case: Case) -> None:
    for number in range(2 * HOSTS):
        assert case.paced(WRITE, Key("default", str(number))).config
    assert not case.lulls.crowd
