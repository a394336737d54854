"""Events: what changed for the user, told once, on the object that it is about.

They are read off the old and the new `Ready`: becoming ready, and each new reason for not being ready. A
retry of the same failure is no event; its attempt stands in the condition.
"""

from __future__ import annotations

from typing import Literal

from manyserve.api import conditions
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.actions import Event

PROGRESS = ("Pending", "Downloading", "Loading", "InferenceServiceNotReady")


def model_event(model: TrainedModel, new: TrainedModelStatus) -> Event | None:
    """Return the event for a model whose status changes from the one it has, or None."""
    meta = model.metadata
    change = _change(model.status, new)
    if change is None or change[0] in PROGRESS:
        return None
    reason, message = change
    if reason == conditions.READY:
        message = f"loaded on {new.loaded} replicas; answers at {new.url}"
    return Event("TrainedModel", meta.name, meta.uid, _type(reason), reason, message)


def host_event(host: InferenceService, new: InferenceServiceStatus) -> Event | None:
    """Return the event for a host whose status changes from the one it has, or None."""
    meta = host.metadata
    change = _change(host.status, new)
    if change is None:
        return None
    reason, message = change
    if reason == conditions.READY:
        message = f"answers at {new.url}"
    first = not host.status.conditions and reason != conditions.INVALID_SPEC
    return Event("InferenceService", meta.name, meta.uid, "Normal" if first else _type(reason), reason, message)


def _change(
    old: TrainedModelStatus | InferenceServiceStatus, new: TrainedModelStatus | InferenceServiceStatus
) -> tuple[str, str] | None:
    before = conditions.find(old.conditions, conditions.READY)
    after = conditions.find(new.conditions, conditions.READY)
    if after is None or (before and (before.status, before.reason) == (after.status, after.reason)):
        return None
    return after.reason or conditions.READY, after.message or ""


def _type(reason: str) -> Literal["Normal", "Warning"]:
    return "Normal" if reason in (conditions.READY, "InferenceServiceNotFound") else "Warning"
