"""What of the new statuses is to be written, and what of the change is to be told: only what differs.

A status is written as a merge patch from the one that stands to the one that should; an empty patch is no
write. Objects on their way out are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from manyserve.api import conditions
from manyserve.api.base import Wire
from manyserve.api.hoststatus import InferenceServiceStatus
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.actions import Event, SetStatus
from manyserve.plan.events import PROGRESS, model_event


def host_write(service: InferenceService, status: InferenceServiceStatus) -> Iterable[SetStatus]:
    """Yield the write of the host's status, if it changes."""
    patch = _patch(service.status, status)
    if patch:
        yield SetStatus("InferenceService", service.metadata.name, service.metadata.uid, patch)


def model_writes(models: Iterable[tuple[TrainedModel, TrainedModelStatus]]) -> Iterable[SetStatus]:
    """Yield the writes of those models' statuses that change."""
    for model, status in models:
        patch = _patch(model.status, status)
        if patch and not model.metadata.deletion_timestamp:
            yield _model_write(model, status, patch)


def _model_write(model: TrainedModel, status: TrainedModelStatus, patch: dict[str, Any]) -> SetStatus:
    before = conditions.find(model.status.conditions, conditions.READY)
    after = conditions.find(status.conditions, conditions.READY)
    waits = (before is None or before.status != "True") and after is not None and after.reason in PROGRESS
    since = model.metadata.creation_timestamp if before is None else None
    return SetStatus("TrainedModel", model.metadata.name, model.metadata.uid, patch, waits, since)


def model_events(models: Iterable[tuple[TrainedModel, TrainedModelStatus]]) -> Iterable[Event]:
    """Yield what is to be told about models."""
    for model, status in models:
        event = None if model.metadata.deletion_timestamp else model_event(model, status)
        if event:
            yield event


def _patch(old: Wire, new: Wire) -> dict[str, Any]:
    """Return the merge patch from the old status to the new: what changed, and null for what went."""
    return {} if old is new or old == new else _merge_patch(old.to_wire(), new.to_wire())


def _merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = _merge_patch(old, value)
            patch |= {key: inner} if inner else {}
        elif old != value:
            patch[key] = value
    return patch
