"""Events of hosts and models: one for each transition of `Ready`, on its object.

A transition is a new status or a new reason of the condition. A retry of the same failure sends no event; its attempt
is in the condition. `plan.status.scaling_events` has the events about copies and shards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from manyserve.api import conditions
from manyserve.api.conditions import Condition
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.actions import Event
from manyserve.plan.status.rollout_wait import ROLLOUT_WAITS
from manyserve.plan.status.slow_pod import CONTAINERS_NOT_READY

PROGRESS = ("Pending", "Downloading", "Loading", "InferenceServiceNotReady")
"""Reasons of a model that only report progress; they send no event."""
_NORMAL = (conditions.READY, "InferenceServiceNotFound", CONTAINERS_NOT_READY, ROLLOUT_WAITS)


def changes_copies_only(old: TrainedModelStatus, new: TrainedModelStatus) -> bool:
    """Return whether a Ready model stays so for the same reason, and needs as many copies as before."""
    before, after = (conditions.find(each.conditions, conditions.READY) for each in (old, new))
    if before is None or after is None or new.shards is None:
        return False
    return _state(before) == _state(after) and after.status == "True" and old.replicas == new.replicas


def model_events(models: Iterable[tuple[TrainedModel, TrainedModelStatus]]) -> Iterable[Event]:
    """Yield the events of models; those that are being deleted have none."""
    for model, status in models:
        if status is not model.status and not model.metadata.deletion_timestamp:
            event = model_event(model, status)
            if event:
                yield event


def model_event(model: TrainedModel, new: TrainedModelStatus) -> Event | None:
    """Return the event for the change to a model's new status, or None."""
    meta = model.metadata
    transition = _transition(model.status, new)
    if transition is None or transition[0] in PROGRESS:
        return None
    reason, message = transition
    if reason == conditions.READY:
        unit = "replicas" if new.shards is None else "copies"
        message = f"loaded on {new.loaded} {unit}; answers at {new.url}"
    return Event("TrainedModel", meta.name, meta.uid, _type(reason), reason, message)


def host_event(host: InferenceService, new: InferenceServiceStatus) -> Event | None:
    """Return the event for the change to a host's new status, or None."""
    meta = host.metadata
    transition = _transition(host.status, new)
    if transition is None:
        return None
    reason, message = transition
    if reason == conditions.READY:
        message = f"answers at {new.url}"
    is_first = not host.status.conditions and reason != conditions.INVALID_SPEC
    return Event("InferenceService", meta.name, meta.uid, "Normal" if is_first else _type(reason), reason, message)


def _transition(
    old: TrainedModelStatus | InferenceServiceStatus, new: TrainedModelStatus | InferenceServiceStatus
) -> tuple[str, str] | None:
    old_ready = conditions.find(old.conditions, conditions.READY)
    new_ready = conditions.find(new.conditions, conditions.READY)
    if new_ready is None or (old_ready and _state(old_ready) == _state(new_ready)):
        return None
    return new_ready.reason or conditions.READY, new_ready.message or ""


def _state(ready: Condition) -> tuple[str, str | None]:
    return ready.status, ready.reason


def _type(reason: str) -> Literal["Normal", "Warning"]:
    return "Normal" if reason in _NORMAL else "Warning"
