"""How often a host's `models.json` is written, and when what can wait is done.

A first change of `models.json` is written at once, then one a second: each write has the kubelets of all the host's
pods mount the file anew, and a thousand models that are applied or deleted one by one would be a thousand writes. A
host may write one before its time when a lull says that all have come, and pays for it with the second after. While
many hosts change, their seconds are longer, and a first change waits for its turn, or their writes alone would keep
the API server from its users.

A model that is loaded within two seconds is told that it answers, and not before that it does not yet: of a
thousand that are applied together each would cost the API server a write more, and keep the others waiting. While
`models.json` changes all the time, and new models wait for their turn, it is five; while users send models by the
dozen, a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from manyserve.plan.actions import Plan, SetStatus

GAP = 1.0
"""Seconds between two writes."""
GAP_A_HOST = 0.1
"""Times the hosts whose `models.json` change: so many seconds at least, so that all together write ten a second."""
LONGEST_GAP = 10.0
YOUNG = 2.0
"""Seconds for which a new model is told nothing but what is final; the API server tells its age in whole seconds."""
YOUNG_IN_A_CROWD = 5.0
UNTOLD = 60.0
"""Seconds for which a new model of a crowd is told nothing but what is final while users are at it; a changed one, too,
while others are told."""


@dataclass(frozen=True)
class Written:
    """What a host's `models.json` has had of writes."""

    last: datetime
    paid: datetime
    """Until when they are paid for."""


@dataclass(frozen=True)
class Traffic:
    """What goes on around a plan."""

    written: Written | None = None
    busy: int = 1
    """How many hosts' `models.json` have changed lately or are to, this one's included."""
    wait: float = 0.0
    """Seconds for which more of a crowd may come to the host; it is touched then."""
    quiet: bool = False
    """No user has changed a model for a moment."""
    crowd: bool = False
    """Users change models by the dozen, or these are still told about."""

    @property
    def at_it(self) -> bool:
        """Tell whether users change models by the dozen this moment."""
        return self.crowd and not self.quiet

    @property
    def long_gap(self) -> float:
        """Seconds between two writes of a host while users are at it."""
        return min(max(GAP, GAP_A_HOST * self.busy), LONGEST_GAP)


def paced(todo: Plan, traffic: Traffic, now: datetime) -> Plan:
    """Return what of the plan is done now."""
    held = without_young(hold_back(todo, traffic, now), now, _young(todo, traffic))
    return without_renewed(held, now) if traffic.crowd else held


def seconds_left(traffic: Traffic, now: datetime) -> float:
    """Return how long `models.json` is not to be changed yet."""
    if traffic.written is None:
        return traffic.wait
    left = _within((traffic.written.paid - now).total_seconds(), 2 * GAP)
    if traffic.quiet:
        return max(left - GAP, 0.0)
    since = (now - traffic.written.last).total_seconds()
    gap = _within(traffic.long_gap - since, traffic.long_gap) if traffic.at_it else 0.0
    return max(left, gap, traffic.wait)


def pay(traffic: Traffic, now: datetime) -> Written:
    """Return what `models.json` has had after another write."""
    before = (traffic.written.paid - now).total_seconds() if traffic.written else 0.0
    return Written(now, now + timedelta(seconds=_within(before, 2 * GAP) + GAP))


def _within(left: float, longest: float) -> float:
    return left if 0 < left <= longest else 0.0  # more: the clock was set


def hold_back(todo: Plan, traffic: Traffic, now: datetime) -> Plan:
    """Return the plan without its config when the last one was written a moment ago, and when to plan it again.

    The nudges wait too, and nobody looks whether they were heard: they ask the pods to look at what is not there yet;
    and what the host counts, for it counts what will be there. The ConfigMap is always made at once.
    """
    left = seconds_left(traffic, now)
    if not todo.changes_config or not left:
        return todo
    statuses = tuple(each for each in todo.statuses if not each.counts)
    again = LONGEST_GAP if traffic.wait else left
    return replace(todo, config=None, config_refreshes=(), statuses=statuses, requeue_after=again)


def without_young(todo: Plan, now: datetime, young: float = YOUNG) -> Plan:
    """Return the plan without the first word to models that were just created and are on their way."""
    return _untold(todo, lambda each: _left(each, now, young))


def without_renewed(todo: Plan, now: datetime) -> Plan:
    """Return the plan without the word to models whose spec has just changed that the newest one is on its way."""
    return _untold(todo, lambda each: _rest(each.renewed_since, now, UNTOLD) if each.renewed_since else None)


def _untold(todo: Plan, wait: Callable[[SetStatus], float | None]) -> Plan:
    """Return the plan without the statuses that wait, and with the seconds until the first of them is due."""
    waits = [wait(each) for each in todo.statuses]
    if all(left is None for left in waits):
        return todo
    statuses = tuple(each for each, left in zip(todo.statuses, waits, strict=True) if left is None)
    soonest = min(filter(None, (*waits, todo.requeue_after)))
    return replace(todo, statuses=statuses, requeue_after=soonest)


def _young(todo: Plan, traffic: Traffic) -> float:
    if traffic.at_it:
        return UNTOLD
    return YOUNG_IN_A_CROWD if todo.changes_config else YOUNG


def _left(write: SetStatus, now: datetime, young: float) -> float | None:
    """Return the seconds until a write about a model that was just created is done, or None when it is done now."""
    if not write.can_wait or write.first_since is None:
        return None
    try:
        return _rest(datetime.fromisoformat(write.first_since), now, young)
    except (TypeError, ValueError):  # no time, or one without a zone: whoever forged it is told at once
        return None


def _rest(since: datetime, now: datetime, seconds: float) -> float | None:
    """Return what is left of so many seconds since a time; None when they are over, or the time has not come."""
    age = (now - since).total_seconds()
    return seconds - age if 0 <= age < seconds else None
