"""State of a model for the metrics: ready, loading, waiting or failed, as its stored status says.

Reasons are counted from a closed list only. A status may be forged, and each other word would be a series.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from manyserve.api import conditions
from manyserve.api.agentreport import ModelState
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.status.context import HOST_NOT_READY
from manyserve.plan.status.model import FULL, HOST_NOT_FOUND, NO_MEMORY, NOT_UNLOADED
from manyserve.plan.storage.claims import CLAIM_NOT_ALLOWED, CLAIM_NOT_FOUND

WAITING = (HOST_NOT_FOUND, HOST_NOT_READY, NO_MEMORY, FULL, NOT_UNLOADED, CLAIM_NOT_FOUND, CLAIM_NOT_ALLOWED)
"""Reasons of a model that waits for something else than its own download and load."""
_LOADING = (ModelState.PENDING, ModelState.DOWNLOADING, ModelState.LOADING)


class CountedState(StrEnum):
    """The four states."""

    READY = "ready"
    LOADING = "loading"
    WAITING = "waiting"
    FAILED = "failed"


class StateOfModel(NamedTuple):
    """The state, and the reason of a model that waits."""

    state: CountedState
    reason: str = ""


_READY, _PROGRESS, _FAILED = (
    StateOfModel(each) for each in (CountedState.READY, CountedState.LOADING, CountedState.FAILED)
)
_WAITING = {reason: StateOfModel(CountedState.WAITING, reason) for reason in WAITING}


def state_of(model: TrainedModel) -> StateOfModel:
    """Return the state of a model. A status about an earlier spec, or about another object, says nothing."""
    status = model.status
    current = status.observed_generation == model.metadata.generation and status.observed_uid == model.metadata.uid
    ready = conditions.find(status.conditions, conditions.READY) if current else None
    if ready is None or ready.reason in _LOADING:
        return _PROGRESS
    if ready.status == "True":
        return _READY
    return _WAITING.get(ready.reason or "", _FAILED)
