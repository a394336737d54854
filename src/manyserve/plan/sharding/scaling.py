"""Scaling of a model on its own traffic: the algorithm of Knative's autoscaler (KPA), in integers.

The replicas of a homogeneous host are scaled likewise, on the traffic of all its models.

* The stable window gives the copies in quiet times: the average of the metric, divided by the target, rounded up.
* Within the tolerance, as in the HorizontalPodAutoscaler, nothing changes.
* A panic window with twice the target of all copies adds copies at once, and removes none for a stable window.
* Scale-down stabilization: the copies go down to the highest recommendation of that time. It must have been seen whole,
  so a new leader removes nothing before.

The metric of all copies together and the target of one copy are in thousandths: requests in flight, or requests a
second. A metric that is absent is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

TICK = 5
"""Seconds between two samples."""
STABLE_WINDOW = 60
"""Seconds."""
PANIC_WINDOW = 10
"""Seconds."""
PANIC_THRESHOLD = 200
"""Percent of the target of all copies."""
SCALE_DOWN_STABILIZATION = 300
"""Seconds."""
TOLERANCE = 10
"""Percent of the target of all copies."""
UNIT = 1000
"""Thousandths in one request."""
ALL_MODELS = ""
"""Key of the decision about the replicas of a homogeneous host: no model has an empty name."""


class Point(NamedTuple):
    """A value at a time in whole seconds."""

    second: int
    value: int


class Scale(NamedTuple):
    """Bounds and target of a model."""

    target: int
    """Thousandths of the metric for one copy."""
    least: int
    most: int


@dataclass(frozen=True)
class History:
    """Samples of the metric of one model, and recommendations, as far as they still count."""

    samples: tuple[Point, ...] = ()
    recommendations: tuple[Point, ...] = ()
    since: int = 0
    """Second of the first recommendation that was followed by others without a gap."""
    panic_until: int = -1
    panic_copies: int = 0
    """The most copies that were recommended since the panic began."""


@dataclass(frozen=True)
class Decision:
    """Copies of a model, with the figures behind them."""

    copies: int
    average: int = 0
    """Thousandths of the metric, averaged over the window."""
    mode: Literal["stable", "panic"] = "stable"

    @property
    def window(self) -> int:
        """Seconds of the window."""
        return PANIC_WINDOW if self.mode == "panic" else STABLE_WINDOW


def decide(history: History, now: int, metric: int | None, copies: int, scale: Scale) -> tuple[History, Decision]:
    """Return the history with this sample, and the copies that the model needs.

    Parameters
    ----------
    metric
        Thousandths of the metric, of all copies together; None while it is unknown.
    copies
        The present number of copies.
    """
    samples = tuple(each for each in history.samples if now - STABLE_WINDOW < each.second)
    if metric is not None:
        samples = (*samples, Point(now, metric))
    if not samples:
        return replace(history, samples=samples), Decision(_bounded(copies, scale))
    history, decision = _recommended(replace(history, samples=samples), now, copies, scale)
    recommendations = tuple(each for each in history.recommendations if now - SCALE_DOWN_STABILIZATION < each.second)
    since = history.since if recommendations else now
    history = replace(history, recommendations=(*recommendations, Point(now, decision.copies)), since=since)
    wanted = decision.copies if decision.copies >= copies else _stabilized(history, now, copies)
    return history, replace(decision, copies=_bounded(wanted, scale))


def _recommended(history: History, now: int, copies: int, scale: Scale) -> tuple[History, Decision]:
    """Return the recommendation of the stable window, or of the panic window while there is a panic."""
    stable, panic = average(history.samples, now, STABLE_WINDOW), average(history.samples, now, PANIC_WINDOW)
    capacity = scale.target * copies
    if panic * 100 >= PANIC_THRESHOLD * capacity:
        history = replace(history, panic_until=now + STABLE_WINDOW)
    if now < history.panic_until:
        most = max(history.panic_copies, _needed(panic, scale.target), copies)
        return replace(history, panic_copies=most), Decision(most, panic, "panic")
    is_close = abs(stable - capacity) * 100 <= TOLERANCE * capacity
    needed = copies if is_close else _needed(stable, scale.target)
    return replace(history, panic_copies=0), Decision(needed, stable)


def _stabilized(history: History, now: int, copies: int) -> int:
    """Return the highest recommendation of the stabilization time, or the present copies before it was seen whole."""
    if now - history.since < SCALE_DOWN_STABILIZATION - TICK:
        return copies
    return min(max(each.value for each in history.recommendations), copies)


def average(samples: tuple[Point, ...], now: int, window: int) -> int:
    """Return the average of the samples in a window, rounded up; 0 without any."""
    values = [each.value for each in samples if now - window < each.second <= now]
    return -(-sum(values) // len(values)) if values else 0


def _needed(metric: int, target: int) -> int:
    return -(-metric // target)


def _bounded(copies: int, scale: Scale) -> int:
    return min(max(copies, scale.least), scale.most)


def scaled_sentence(
    before: int, decision: Decision, metric: str, scale: Scale, nouns: tuple[str, str] = ("copy", "copies")
) -> str:
    """Return the sentence of the event about a changed number of copies or replicas.

    `nouns` are the words for one and for several of them.
    """
    one, several = nouns
    unit = "requests in flight" if metric == "concurrency" else "requests a second"
    return (
        f"{before} to {decision.copies} {several}: {_decimal(decision.average)} {unit} on average of "
        f"{decision.window} s, target {_decimal(scale.target)} a {one}"
    )


def _decimal(thousandths: int) -> str:
    return f"{thousandths / UNIT:.1f}".removesuffix(".0")
