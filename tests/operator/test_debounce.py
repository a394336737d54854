"""The debouncer: `models.json` is written at once when a host was idle, and in batches while users change models."""

from __future__ import annotations

import inspect
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.names import Key
from manyserve.operator.debounce import MAX_WRITE_INTERVAL, MIN_WRITE_INTERVAL, Debouncer
from manyserve.operator.workqueue import MIN_INTERVAL
from tests.fuzz.profile import tried

HOST, OTHER = Key("default", "triton-mms"), Key("default", "other")
HUNDRED = [Key("default", str(number)) for number in range(100)]


class Queue:
    def __init__(self) -> None:
        self.added: list[Key] = []

    def add(self, key: Key) -> None:
        self.added.append(key)


class Case:
    """A debouncer with a clock, and hosts with plans that all change `models.json`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queue = Queue()
        self.debouncer = Debouncer(self.queue, clock=lambda: self.now)  # type: ignore[arg-type]
        self.written: list[tuple[Key, float]] = []

    def reconcile(self, key: Key = HOST) -> bool:
        """Write the host's `models.json` if it may be written."""
        if self.debouncer.take(key):
            self.debouncer.defer(key)
            return False
        self.written.append((key, self.now))
        return True

    def change(self, key: Key = HOST) -> None:
        self.debouncer.on_change(key)
        self._reconcile_added()

    def after(self, seconds: float) -> None:
        """Let time go by, as `run` does."""
        end = self.now + seconds
        while self.now < end:
            wait = self.debouncer.release()
            self._reconcile_added()
            self.now = min(end, self.now + wait)
        self.debouncer.release()
        self._reconcile_added()

    def _reconcile_added(self) -> None:
        added, self.queue.added = self.queue.added, []
        for key in added:
            self.reconcile(key)

    def writes(self, key: Key = HOST) -> list[float]:
        return [round(at, 3) for written, at in self.written if written == key]


@pytest.fixture
def case() -> Case:
    return Case()


def test_debouncer_counts_on_a_monotonic_clock() -> None:
    assert inspect.signature(Debouncer).parameters["clock"].default is time.monotonic


def test_debouncer_lets_the_first_change_out_at_once(case: Case) -> None:
    case.change()
    assert case.writes() == [0.0]


def test_debouncer_lets_the_rest_out_when_its_host_is_idle(case: Case) -> None:
    case.change()
    case.now = 0.05
    case.change()
    case.after(MIN_INTERVAL - 0.02)
    assert case.writes() == [0.0]
    case.change(OTHER)
    case.after(0.02)
    assert case.writes() == [0.0, 0.05 + MIN_INTERVAL]
    case.change()
    case.after(MIN_INTERVAL + 0.1)
    assert len(case.writes()) == 2, "it was the next second's that was spent"
    case.after(1.0)
    assert len(case.writes()) == 3


def test_debouncer_lets_out_one_write_a_second_while_users_change_models(case: Case) -> None:
    for _ in range(90):
        case.change()
        case.after(0.05)
    assert case.writes() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_debouncer_lets_a_host_that_no_user_changes_out_at_once(case: Case) -> None:
    many_change(case, 1.0)
    assert case.reconcile(HOST)
    assert not case.reconcile(HOST), "and then once a second"
    case.after(MIN_WRITE_INTERVAL)
    assert len(case.writes()) == 2


def test_debouncer_gives_a_write_back_that_failed(case: Case) -> None:
    case.change()
    case.now = 1.5
    assert case.debouncer.take(HOST) == 0
    case.debouncer.cancel(HOST)
    assert case.debouncer.take(HOST) == 0


def test_debouncer_takes_changes_of_a_running_plan_for_a_new_batch(case: Case) -> None:
    case.change()
    case.now = 2.0
    case.debouncer.on_change(HOST)
    assert case.debouncer.take(HOST) == 0
    case.queue.added = []
    case.debouncer.on_change(HOST)
    assert not case.queue.added, "the next plan could not write it"
    case.after(MIN_INTERVAL)
    assert case.writes() == [0.0, 2.0 + MIN_INTERVAL]


def test_debouncer_adds_a_changed_host_when_the_running_plan_writes_nothing(case: Case) -> None:
    assert case.debouncer.take(HOST) == 0
    case.debouncer.on_change(HOST)
    assert not case.queue.added
    case.debouncer.cancel(HOST)
    assert case.queue.added == [HOST]


def many_change(case: Case, seconds: float, hosts: list[Key] = HUNDRED) -> None:
    """Have users change a model of each host ten times a second."""
    end = case.now + seconds
    while case.now < end - 0.05:
        for key in hosts:
            case.change(key)
        case.after(0.1)


def test_debouncer_lets_a_model_beside_a_burst_on_many_hosts_out_within_a_second(case: Case) -> None:
    many_change(case, 1.0)
    began = case.now
    case.change(HOST)
    many_change(case, 2.0)
    (written,) = case.writes()
    assert written - began <= MIN_WRITE_INTERVAL + 0.1


def test_debouncer_lets_a_model_beside_a_burst_on_one_host_out_at_once(case: Case) -> None:
    many_change(case, 1.0, [OTHER])
    began = case.now
    case.change(HOST)
    assert case.writes() == [round(began, 3)]


def test_debouncer_spreads_and_batches_the_writes_of_many_hosts(case: Case) -> None:
    many_change(case, 30.0)
    late = [at for key, at in case.written if at > MAX_WRITE_INTERVAL]
    assert len(late) <= 20 * 100 / (MAX_WRITE_INTERVAL / 3) / 1.4, "about ten a second"
    for key in HUNDRED:
        writes = case.writes(key)
        assert all(after - before <= MAX_WRITE_INTERVAL + 0.2 for before, after in pairwise(writes))
    by_tenth = [round(at * 10) for at in late]
    assert max(map(by_tenth.count, by_tenth)) <= 10, "hosts that change together are not due together"


def test_debouncer_spreads_the_writes_of_many_hosts_that_seldom_change(case: Case) -> None:
    """With a slow API server two changes of a host are more than a second apart, and yet belong to one batch."""
    for _ in range(20):
        for key in HUNDRED:
            case.change(key)
            case.after(0.015)
    assert len([at for _, at in case.written if at > MAX_WRITE_INTERVAL]) <= 20 * 12 + 10


def test_debouncer_lets_all_hosts_out_when_all_have_been_idle_for_a_second(case: Case) -> None:
    many_change(case, 1.0)
    before = len(case.written)
    case.after(MIN_WRITE_INTERVAL - 0.2)
    assert len(case.written) == before, "the API server may only be slow"
    case.after(0.2)
    assert {key for key, _ in case.written[before:]} == set(HUNDRED)


def test_debouncer_forgets_hosts_that_have_not_changed_for_long(case: Case) -> None:
    many_change(case, 1.0)
    case.after(2 * MAX_WRITE_INTERVAL)
    assert not case.debouncer._changed
    assert not case.debouncer._paid_until
    assert not case.debouncer._batches


@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.integers(0, 30)), min_size=2, max_size=60),
)
@tried(100)
def test_debouncer_lets_out_at_most_two_writes_more_than_there_are_seconds(
    steps: list[tuple[float, bool, int]],
) -> None:
    case = Case()
    for pause, changes, others in steps:
        case.after(pause)
        for key in HUNDRED[:others]:
            case.debouncer.on_change(key)
        case.queue.added = []
        assert 0 <= case.debouncer.delay(HOST) <= MAX_WRITE_INTERVAL
        if changes:
            case.change()
        else:
            case.reconcile()
    written = [at for key, at in case.written if key == HOST]
    assert all(
        count < end - begin + 2.001
        for first, begin in enumerate(written)
        for count, end in enumerate(written[first:], start=1)
    )
