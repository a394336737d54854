"""Readings of the counters of a pod with a given traffic."""

from __future__ import annotations

from manyserve.plan.sharding.scaling import TICK
from manyserve.plan.sharding.traffic import Counters, Interval, Reading


def interval(second: float, **in_flight: float) -> Interval:
    """Return the readings of a pod at a time and one tick before it, between which so many requests were in flight."""
    before = {name: Counters(0, 0, None) for name in in_flight}
    after = {name: Counters(10, round(each * TICK * 1_000_000), None) for name, each in in_flight.items()}
    return Interval(Reading(second, "i", True, after), Reading(second - TICK, "i", True, before))
