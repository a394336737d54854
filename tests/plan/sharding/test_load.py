"""Loads of shards from the counters of their pods."""

from __future__ import annotations

from dataclasses import replace

from manyserve.plan.sharding.load import Samples, load_samples, loads_of
from manyserve.plan.sharding.scaling import STABLE_WINDOW, TICK
from manyserve.plan.sharding.traffic import Interval
from tests.support.traffic import interval


def after(seconds: int, samples: Samples, *intervals: tuple[int, Interval], start: int = 0) -> Samples:
    """Return the samples after a time with the same readings."""
    for now in range(start, start + seconds, TICK):
        samples = load_samples(intervals, samples, now)
    return samples


def test_load_of_a_shard_is_the_sum_of_all_models_on_its_pods() -> None:
    pods = [(0, interval(0, a=1.5, b=0.5)), (0, interval(0, c=1.0)), (3, interval(0, a=0.25))]
    assert loads_of(load_samples(pods, {}, 0), 0) == {0: 3000, 3: 250}


def test_load_is_the_average_of_the_stable_window() -> None:
    half = STABLE_WINDOW // 2
    samples = after(STABLE_WINDOW, {}, (0, interval(0, a=1.0)))
    samples = after(half, samples, (0, interval(0, a=3.0)), start=STABLE_WINDOW)
    assert loads_of(samples, STABLE_WINDOW + half - TICK) == {0: 2000}


def test_load_that_is_not_known_is_not_zero() -> None:
    known = interval(0, a=2.0)
    samples = after(TICK, {}, (0, known), (1, replace(known, before=None)), (2, interval(0)))
    assert loads_of(samples, 0) == {0: 2000}
    later = after(TICK, samples, start=TICK)
    assert loads_of(later, TICK) == {0: 2000}
    assert after(TICK, later, start=STABLE_WINDOW) == {}
