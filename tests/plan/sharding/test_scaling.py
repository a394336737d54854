"""Scaling of a model: traces of its traffic, and the number of its copies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.plan.sharding.scaling import (
    SCALE_DOWN_STABILIZATION,
    STABLE_WINDOW,
    TICK,
    Decision,
    History,
    Scale,
    decide,
    scaled_sentence,
)
from tests.fuzz.profile import tried

SCALE = Scale(target=1000, least=1, most=8)
HOUR = 3600
Change = tuple[int, int, int]


def changes(trace: Sequence[int | None], scale: Scale = SCALE, copies: int = 1) -> list[Change]:
    """Return the changes for a trace with one value a second: the second, the copies before, and those after."""
    history, found = History(), []
    for now in range(0, len(trace), TICK):
        history, decision = decide(history, now, trace[now], copies, scale)
        if decision.copies != copies:
            found.append((now, copies, decision.copies))
        copies = decision.copies
    return found


def noise(mean: int, deviation: int, seconds: int = HOUR) -> list[int]:
    random = Random(3)
    return [max(0, int(random.gauss(mean, deviation))) for _ in range(seconds)]


def test_scaling_changes_nothing_for_noise_at_80_percent_of_the_target() -> None:
    assert changes(noise(800, 150)) == []


@pytest.mark.parametrize(("mean", "copies"), [(1000, 1), (2050, 2)])
def test_scaling_changes_nothing_within_the_tolerance(mean: int, copies: int) -> None:
    assert changes([mean] * HOUR, copies=copies) == []


def test_scaling_adds_copies_at_once_after_a_step_and_removes_them_after_stabilization() -> None:
    found = changes([500] * 600 + [6000] * 1200 + [500] * 1800)
    assert found[:2] == [(600, 1, 4), (605, 4, 6)]
    assert found[2][0] >= 1800 + SCALE_DOWN_STABILIZATION
    assert found[-1][2] == 1


def test_scaling_reaches_the_copies_of_a_step_within_15_seconds() -> None:
    found = changes([500] * 600 + [6000] * 600)
    assert found[-1][2] == 6
    assert found[-1][0] - 600 <= 15


def test_scaling_does_not_follow_a_square_wave() -> None:
    assert len(changes([(3000 if (second // 60) % 2 else 0) for second in range(HOUR)])) <= 2


def test_scaling_follows_a_ramp_both_ways() -> None:
    up = [second * 6000 // 1200 for second in range(1200)]
    found = changes([*up, *reversed(up), *([0] * 1200)])
    assert max(after for _, _, after in found) >= 6
    assert found[-1][2] == 1
    assert len(found) <= 15


def test_scaling_takes_copies_of_a_short_spike_away_once() -> None:
    found = changes([200] * 600 + [8000] * 10 + [200] * 1800)
    assert [after > before for _, before, after in found].count(True) <= 2
    assert found[-1][2] == 1


def test_scaling_keeps_bounds() -> None:
    assert changes([50_000] * 600, Scale(1000, 1, 3))[-1][2] == 3
    assert changes([0] * HOUR, Scale(1000, 2, 3), copies=3)[-1][2] == 2


def test_scaling_removes_nothing_before_the_stabilization_was_seen_whole() -> None:
    found = changes([0] * 600, copies=4)
    assert found == [(SCALE_DOWN_STABILIZATION - TICK, 4, 1)]


def test_scaling_removes_copies_although_ticks_come_late() -> None:
    late, copies, history = TICK + 1, 4, History()
    for now in range(0, SCALE_DOWN_STABILIZATION + late, late):
        history, decision = decide(history, now, 0, copies, SCALE)
        copies = decision.copies
    assert copies == 1


def test_scaling_sees_the_stabilization_anew_after_a_long_gap() -> None:
    gap = SCALE_DOWN_STABILIZATION + STABLE_WINDOW
    found = changes([3900] * 600 + [None] * gap + [0] * 600, copies=4)
    assert found == [(600 + gap + SCALE_DOWN_STABILIZATION - TICK, 4, 1)]


def test_scaling_takes_an_absent_metric_not_for_zero() -> None:
    assert changes([None] * HOUR, copies=4) == []
    assert changes([3900] * 300 + [None] * HOUR, copies=4) == []


def test_scaling_adds_copies_for_requests_a_second_likewise() -> None:
    assert changes([90_000] * 120, Scale(target=50_000, least=1, most=4)) == [(0, 1, 2)]


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=200), st.integers(1, 8), st.integers(1, 5000))
@tried(100)
def test_scaling_of_any_trace_keeps_bounds_and_a_bounded_history(trace: list[int], copies: int, target: int) -> None:
    history, scale = History(), Scale(target, 1, 8)
    for tick, value in enumerate(trace):
        history, decision = decide(history, tick * TICK, value, copies, scale)
        assert scale.least <= decision.copies <= scale.most
        copies = decision.copies
    assert len(history.samples) <= STABLE_WINDOW // TICK
    assert len(history.recommendations) <= SCALE_DOWN_STABILIZATION // TICK


def test_scaling_sentence_has_the_figures() -> None:
    panic = Decision(3, 2700, "panic")
    assert scaled_sentence(1, panic, "concurrency", SCALE) == (
        "1 to 3 copies: 2.7 requests in flight on average of 10 s, target 1 a copy"
    )
    assert scaled_sentence(3, Decision(1, 12_500), "rps", Scale(50_000, 1, 8)) == (
        "3 to 1 copies: 12.5 requests a second on average of 60 s, target 50 a copy"
    )


def test_scaling_of_2000_models_takes_a_bounded_number_of_times_the_sum_of_their_samples() -> None:
    histories = [History()] * 2000
    for tick in range(SCALE_DOWN_STABILIZATION // TICK):
        histories = [decide(each, tick * TICK, 500, 1, SCALE)[0] for each in histories]
    now = SCALE_DOWN_STABILIZATION
    seconds = _best(lambda: [decide(each, now, 500, 1, SCALE) for each in histories])
    floor = _best(lambda: [sum(point.value for point in each.recommendations) for each in histories])
    assert seconds < 15 * floor, (seconds, floor)


def _best(work: object) -> float:
    assert callable(work)
    times = []
    for _ in range(5):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return min(times)
