"""How often a host's `models.json` is written, and how soon it is told that a new model is on its way.

A first change of `models.json` is written at once, then one a second at most.

Each write has the kubelets of all the host's pods mount the file anew, and a thousand models that are applied
or deleted one by one would be a thousand writes. What is told of models does not wait for it; a model that is
not in the file yet is told as one that no agent has seen.

A model that is loaded within two seconds is told that it answers, and not before that it does not yet: of a
thousand that are applied together each would cost the API server a write more, and keep the others waiting. While
`models.json` changes all the time, and new models wait for their second, it is five.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from manyserve.plan.actions import Plan, SetStatus

GAP = 1.0
"""Seconds between two writes."""
YOUNG = 2.0
"""Seconds for which a new model is told nothing but what is final; the API server tells its age in whole seconds."""
YOUNG_IN_A_CROWD = 5.0


def paced(todo: Plan, last: datetime | None, now: datetime) -> Plan:
    """Return what of the plan is done now; `last` is when the host's `models.json` was last changed."""
    young = YOUNG_IN_A_CROWD if todo.changes_config else YOUNG
    return without_young(hold_back(todo, last, now), now, young)


def seconds_left(last: datetime | None, now: datetime) -> float:
    """Return how long `models.json` is not to be changed yet."""
    left = 0.0 if last is None else GAP - (now - last).total_seconds()
    return left if 0 < left <= GAP else 0.0


def hold_back(todo: Plan, last: datetime | None, now: datetime) -> Plan:
    """Return the plan without its config when the last one was written a moment ago, and when to plan it again.

    The nudges wait too: they ask the pods to look at what is not there yet. The ConfigMap is always made at once.
    """
    left = seconds_left(last, now)
    if not todo.changes_config or not left:
        return todo
    again = left if todo.look_again_after is None else min(left, todo.look_again_after)
    return replace(todo, config=None, nudges=(), look_again_after=again)


def without_young(todo: Plan, now: datetime, young: float = YOUNG) -> Plan:
    """Return the plan without the first word to models that were just created and are on their way."""
    left = [_left(each, now, young) for each in todo.statuses]
    waits = [each for each in left if each is not None]
    if not waits:
        return todo
    statuses = tuple(each for each, wait in zip(todo.statuses, left, strict=True) if wait is None)
    again = min((*waits, *filter(None, (todo.look_again_after,))))
    return replace(todo, statuses=statuses, look_again_after=again)


def _left(write: SetStatus, now: datetime, young: float) -> float | None:
    """Return the seconds until a model is told how far it is, or None when it is told now."""
    if not write.can_wait or write.first_since is None:
        return None
    try:
        age = (now - datetime.fromisoformat(write.first_since)).total_seconds()
    except (TypeError, ValueError):  # no time, or one without a zone: whoever forged it is told at once
        return None
    return young - age if 0 <= age < young else None
