"""Traffic of a model from two readings of the counters of each pod: requests in flight, or requests a second.

A model server adds the duration of a request at its end. So the requests in flight are the busy time in a second, by
Little's law, or those that wait now and the one that runs, if these are more.

Without a counter, or with a lower one than before, the traffic is unknown: the model was loaded, or its server was
restarted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from manyserve.api.routes import Traffic
from manyserve.plan.sharding.scaling import UNIT

_MICROS = 1_000_000


class Counters(NamedTuple):
    """Counters of one model on one pod. They take a tenth of the memory of `ModelTraffic`."""

    requests: int
    busy_micros: int
    pending: int | None


@dataclass(frozen=True)
class Reading:
    """Counters of one pod at a time, in seconds of a monotonic clock."""

    second: float
    instance: str
    counted: bool
    """The server has counters of requests by model."""
    models: Mapping[str, Counters]


@dataclass(frozen=True)
class Interval:
    """The last reading of a pod, and the one before; None for the first reading."""

    after: Reading
    before: Reading | None = None


def reading_of(traffic: Traffic, second: float) -> Reading:
    """Return the reading of an answer of `/traffic`."""
    models = {name: Counters(each.requests, each.busy_micros, each.pending) for name, each in traffic.models.items()}
    return Reading(second, traffic.instance, traffic.counted, models)


def traffic_of(intervals: Iterable[Interval], metrics: Mapping[str, str]) -> dict[str, int]:
    """Return the traffic of all copies of each model in thousandths; without a model that is unknown on all pods.

    `metrics` has the metric of each model.
    """
    traffic: dict[str, int] = {}
    for interval in intervals:
        for name in interval.after.models.keys() & metrics.keys():
            value = _in_interval(interval, name, metrics[name])
            if value is not None:
                traffic[name] = traffic.get(name, 0) + value
    return traffic


def total_traffic(intervals: Iterable[Interval], metric: str) -> int | None:
    """Return the traffic of all models on all pods in thousandths, or None if it is unknown on all pods."""
    known = [value for each in intervals if (value := _of_pod(each, metric)) is not None]
    return sum(known) if known else None


def _of_pod(interval: Interval, metric: str) -> int | None:
    """Return the traffic of a pod. A model without an earlier counter had no request, or is new: it counts as 0."""
    before, after = interval.before, interval.after
    if before is None or before.instance != after.instance or not (before.counted and after.counted):
        return None
    if after.second <= before.second:
        return None
    values = {name: _in_interval(interval, name, metric) for name in after.models}
    if any(value is None and name in before.models for name, value in values.items()):
        return None
    return sum(value or 0 for value in values.values())


def _in_interval(interval: Interval, model: str, metric: str) -> int | None:
    before, after = interval.before, interval.after
    if before is None or before.instance != after.instance or after.second <= before.second:
        return None
    old, new = before.models.get(model), after.models.get(model)
    if old is None or new is None or new.requests < old.requests or new.busy_micros < old.busy_micros:
        return None
    seconds = after.second - before.second
    if metric == "rps":
        return round((new.requests - old.requests) * UNIT / seconds)
    waiting = (new.pending + 1) * UNIT if new.pending else 0
    return max(round((new.busy_micros - old.busy_micros) * UNIT / _MICROS / seconds), waiting)
