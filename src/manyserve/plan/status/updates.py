"""Status updates: the statuses that differ from the stored ones, with their priorities."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from manyserve.api import conditions
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.actions import PROGRESS_GRACE, Priority, SetStatus
from manyserve.plan.status.events import PROGRESS, changes_copies_only


def host_update(host: InferenceService, status: InferenceServiceStatus) -> Iterable[SetStatus]:
    """Yield the update of the host's status, if it changes."""
    before, meta = host.status, host.metadata
    if status != before:
        totals = {name: getattr(status, name) for name in ("models", "memory", "pods", "copies")}
        totals_only = status == before.model_copy(update=totals)
        priority = Priority.PROGRESS if totals_only else Priority.FINAL
        yield SetStatus("InferenceService", meta.name, meta.uid, before, status, priority)


def model_updates(models: Iterable[tuple[TrainedModel, TrainedModelStatus]], now: datetime) -> Iterable[SetStatus]:
    """Yield the updates of those models' statuses that change; models that are being deleted have none."""
    for model, status in models:
        meta = model.metadata
        if status is not model.status and status != model.status and not meta.deletion_timestamp:
            yield SetStatus("TrainedModel", meta.name, meta.uid, model.status, status, _priority(model, status, now))


def _priority(model: TrainedModel, status: TrainedModelStatus, now: datetime) -> Priority:
    before = conditions.find(model.status.conditions, conditions.READY)
    after = conditions.find(status.conditions, conditions.READY)
    if after is None or after.reason not in PROGRESS:
        return Priority.PROGRESS if changes_copies_only(model.status, status) else Priority.FINAL
    if before is None:
        return Priority.TRANSIENT if _is_new(model, now) else Priority.CHANGED
    changed = model.status.observed_generation != model.metadata.generation
    if before.status != "True":
        return Priority.CHANGED if changed else Priority.PROGRESS
    host = model.status.placed_by  # on another host, no previous version answers
    moved = host is None or host.name != model.spec.inference_service
    return Priority.CHANGED if changed and not moved else Priority.FINAL


def _is_new(model: TrainedModel, now: datetime) -> bool:
    try:
        age = (now - datetime.fromisoformat(model.metadata.creation_timestamp)).total_seconds()
    except (TypeError, ValueError):  # no time, or one without a zone
        return False
    return 0 <= age < PROGRESS_GRACE
