"""How often a host's `models.json` is written: a first change at once, then once a second at most.

Each write has the kubelets of all the host's pods mount the file anew, and a thousand models that are applied
or deleted one by one would be a thousand writes. What is told of models does not wait for it; a model that is
not in the file yet is told as one that no agent has seen.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from manyserve.plan.actions import Plan

GAP = 1.0
"""Seconds between two writes."""


def hold_back(todo: Plan, last: datetime | None, now: datetime) -> Plan:
    """Return the plan without its config when the last one was written a moment ago, and when to plan it again.

    The nudges wait too: they ask the pods to look at what is not there yet. The ConfigMap is always made at once.
    """
    if todo.config is None or todo.config.resource_version is None or last is None:
        return todo
    left = GAP - (now - last).total_seconds()
    if not 0 < left <= GAP:
        return todo
    again = left if todo.look_again_after is None else min(left, todo.look_again_after)
    return replace(todo, config=None, nudges=(), look_again_after=again)
