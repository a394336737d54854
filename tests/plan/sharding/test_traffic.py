"""Traffic of a model from the counters of its copies."""

from __future__ import annotations

import pytest

from manyserve.api.routes import Traffic
from manyserve.plan.sharding.traffic import Interval, Reading, reading_of, total_traffic, traffic_of

Models = dict[str, dict[str, int | None]]


def reading(second: float, instance: str = "i", **models: tuple[int, int] | tuple[int, int, int]) -> Reading:
    """Return a reading of requests, busy seconds and pending requests by model."""
    given: Models = {
        name: {"requests": each[0], "busyMicros": each[1] * 1_000_000, "pending": each[2] if len(each) > 2 else None}
        for name, each in models.items()
    }
    return reading_of(Traffic.model_validate({"instance": instance, "counted": True, "models": given}), second)


@pytest.mark.parametrize(("metric", "expected"), [("concurrency", 3000), ("rps", 2000)])
def test_traffic_is_the_change_of_the_counters_in_a_second(metric: str, expected: int) -> None:
    interval = Interval(reading(15, m=(20, 25)), reading(10, m=(10, 10)))
    assert traffic_of([interval], {"m": metric}) == {"m": expected}


def test_traffic_is_the_sum_of_all_copies() -> None:
    intervals = [Interval(reading(10, m=(10, 10)), reading(0, m=(0, 0))) for _ in range(2)]
    other = Interval(reading(10, n=(10, 1)), reading(0, n=(0, 0)))
    assert traffic_of([*intervals, other], {"m": "rps"}) == {"m": 2000}
    assert traffic_of([*intervals, other], {"m": "rps", "n": "concurrency"}) == {"m": 2000, "n": 100}


def test_requests_that_wait_count_while_none_has_ended() -> None:
    interval = Interval(reading(5, m=(0, 0, 3)), reading(0, m=(0, 0, 0)))
    assert traffic_of([interval], {"m": "concurrency"}) == {"m": 4000}
    assert traffic_of([interval], {"m": "rps"}) == {"m": 0}


def test_quiet_model_has_no_traffic() -> None:
    assert traffic_of([Interval(reading(5, m=(7, 7, 0)), reading(0, m=(7, 7, 0)))], {"m": "concurrency"}) == {"m": 0}


@pytest.mark.parametrize(
    "interval",
    [
        Interval(reading(5, m=(9, 9))),
        Interval(reading(5, m=(9, 9)), reading(0)),
        Interval(reading(5), reading(0, m=(9, 9))),
        Interval(reading(5, m=(1, 9)), reading(0, m=(2, 8))),
        Interval(reading(5, m=(9, 1)), reading(0, m=(8, 2))),
        Interval(reading(5, "other", m=(9, 9)), reading(0, m=(1, 1))),
        Interval(reading(5, m=(9, 9)), reading(5, m=(1, 1))),
    ],
    ids=[
        "first reading",
        "loaded",
        "unloaded",
        "server restarted",
        "busy time began anew",
        "agent restarted",
        "no time between",
    ],
)
def test_traffic_that_is_not_known_is_not_zero(interval: Interval) -> None:
    assert traffic_of([interval], {"m": "concurrency"}) == {}


def test_traffic_without_pods_is_not_known() -> None:
    assert traffic_of([], {"m": "rps"}) == {}


@pytest.mark.parametrize(("metric", "expected"), [("concurrency", 1700), ("rps", 3000)])
def test_total_traffic_is_that_of_all_models_on_all_pods(metric: str, expected: int) -> None:
    first = Interval(reading(10, a=(10, 10), b=(10, 2)), reading(0, a=(0, 0), b=(0, 0)))
    second = Interval(reading(10, a=(10, 5)), reading(0, a=(0, 0)))
    assert total_traffic([first, second], metric) == expected


def test_total_traffic_counts_a_model_from_its_second_reading_on() -> None:
    """MLServer has no counters of a model before its first request."""
    assert total_traffic([Interval(reading(10), reading(0))], "rps") == 0
    assert total_traffic([Interval(reading(10, a=(10, 1)), reading(0))], "rps") == 0
    assert total_traffic([Interval(reading(10, a=(10, 1), b=(5, 1)), reading(0, b=(0, 0)))], "rps") == 500


@pytest.mark.parametrize(
    "unknown",
    [
        Interval(reading(10, a=(10, 1))),
        Interval(reading(10, a=(10, 1), b=(9, 9)), reading(0, a=(20, 2), b=(1, 1))),
        Interval(reading(10, "other", a=(10, 1)), reading(0, a=(1, 0))),
        Interval(reading(10, a=(10, 1)), reading(10, a=(1, 0))),
        Interval(Reading(10, "i", False, {}), Reading(0, "i", False, {})),
    ],
    ids=["first reading", "server restarted", "agent restarted", "same second", "no counters"],
)
def test_total_traffic_of_a_pod_without_two_readings_is_unknown(unknown: Interval) -> None:
    assert total_traffic([unknown], "rps") is None
    known = Interval(reading(10, a=(10, 1)), reading(0, a=(0, 0)))
    assert total_traffic([unknown, known], "rps") == 1000
