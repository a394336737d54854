"""Load of a shard: the requests in flight on its pod, as the average of the stable window.

A load orders the shards for a further copy, in whole requests. It moves no copy, so the plan of a settled host stays
empty whatever the loads are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from manyserve.plan.sharding.scaling import STABLE_WINDOW, Point, average
from manyserve.plan.sharding.traffic import Interval, traffic_of

Samples = Mapping[int, tuple[Point, ...]]
"""Thousandths of requests in flight by shard, as far as they still count."""


def load_samples(intervals: Iterable[tuple[int, Interval]], before: Samples, now: int) -> Samples:
    """Return the samples with one of now for each shard with a known traffic; each interval comes with its shard."""
    samples = {shard: tuple(each for each in of if now - STABLE_WINDOW < each.second) for shard, of in before.items()}
    for shard, load in _now(intervals).items():
        samples[shard] = (*samples.get(shard, ()), Point(now, load))
    return {shard: of for shard, of in samples.items() if of}


def _now(intervals: Iterable[tuple[int, Interval]]) -> dict[int, int]:
    """Return the requests in flight on the pods of each shard, without a shard on which nothing is known."""
    loads: dict[int, int] = {}
    for shard, interval in intervals:
        traffic = traffic_of([interval], dict.fromkeys(interval.after.models, "concurrency"))
        if traffic:
            loads[shard] = loads.get(shard, 0) + sum(traffic.values())
    return loads


def loads_of(samples: Samples, now: int) -> dict[int, int]:
    """Return the load of each shard in thousandths."""
    return {shard: average(of, now, STABLE_WINDOW) for shard, of in samples.items()}
