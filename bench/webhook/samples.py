"""Samples of a round of load, and the figures of many short rounds.

The machine does other things too, so two targets are never measured one after the other: they take turns, a few
seconds each, and the samples of all rounds of one are put together. A drift of the load hits all alike.
"""

from __future__ import annotations

import base64
import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Window = tuple[float, float]
"""From when to when, in seconds since the epoch."""


class WrongAnswer(AssertionError):
    """An unexpected answer: a run with refusals or errors proves nothing."""


@dataclass(frozen=True)
class Round:
    """A few seconds of load on one target."""

    seconds: float
    latencies: list[float]
    """Seconds, one for each request that began and ended in the round."""
    cpu: float
    """Seconds of processor time of the programs that work for the target."""
    own_cpu: float
    """Those of the load generator."""


@dataclass(frozen=True)
class Summary:
    """All rounds of one target with so many connections."""

    p50: float
    """Milliseconds, as those that follow."""
    p99: float
    cpu: float
    own_cpu: float
    rate: float
    """Requests a second."""
    count: int


def summary(rounds: Iterable[Round]) -> Summary:
    """Add rounds up. Raises `ValueError` when nothing was answered."""
    all_of = list(rounds)
    latencies = sorted(each for one in all_of for each in one.latencies)
    count = len(latencies)
    if not count:
        raise ValueError("no request was answered in any round")
    return Summary(
        p50=percentile(latencies, 50) * 1000,
        p99=percentile(latencies, 99) * 1000,
        cpu=sum(each.cpu for each in all_of) / count * 1000,
        own_cpu=sum(each.own_cpu for each in all_of) / count * 1000,
        rate=count / sum(each.seconds for each in all_of),
        count=count,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest sample that so many percent of the samples do not exceed (the nearest rank)."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def latencies(lines: Iterable[str], window: Window, status: int, words: bytes) -> list[float]:
    """Read what `vegeta encode --to csv` prints: the seconds of the requests that began and ended in the window.

    Raises `WrongAnswer` for an answer, at any time, without this status or without these words in it.
    """
    inside = []
    for at, code, nanoseconds, _, _, error, body, *_ in csv.reader(lines):
        if int(code) != status or words not in base64.b64decode(body):
            raise WrongAnswer(f"{code} {error} {base64.b64decode(body).decode(errors='replace')[:500]}")
        began, seconds = int(at) / 1e9, int(nanoseconds) / 1e9
        if window[0] <= began and began + seconds <= window[1]:
            inside.append(seconds)
    return inside
