"""What of the new statuses is to be written, and what of the change is to be told: only what differs.

A status that is what it should be is not written. Objects on their way out are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from manyserve.api import conditions
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.actions import Event, SetStatus
from manyserve.plan.status.events import PROGRESS, model_event


def host_write(host: InferenceService, status: InferenceServiceStatus) -> Iterable[SetStatus]:
    """Yield the write of the host's status, if it changes."""
    before, meta = host.status, host.metadata
    if status != before:
        counts = status == before.model_copy(update={"models": status.models, "memory": status.memory})
        yield SetStatus("InferenceService", meta.name, meta.uid, before, status, counts=counts)


def model_writes(
    models: Iterable[tuple[TrainedModel, TrainedModelStatus]], renewed: Mapping[str, datetime]
) -> Iterable[SetStatus]:
    """Yield the writes of those models' statuses that change; `renewed` says since when a spec is newer."""
    for model, status in models:
        if status is not model.status and status != model.status and not model.metadata.deletion_timestamp:
            yield _model_write(model, status, renewed.get(model.metadata.name))


def _model_write(model: TrainedModel, status: TrainedModelStatus, renewed: datetime | None) -> SetStatus:
    before = conditions.find(model.status.conditions, conditions.READY)
    after = conditions.find(status.conditions, conditions.READY)
    progress = after is not None and after.reason in PROGRESS
    return SetStatus(
        "TrainedModel",
        model.metadata.name,
        model.metadata.uid,
        model.status,
        status,
        can_wait=progress and (before is None or before.status != "True"),
        first_since=model.metadata.creation_timestamp if before is None else None,
        renewed_since=renewed if progress else None,
    )


def model_events(models: Iterable[tuple[TrainedModel, TrainedModelStatus]]) -> Iterable[Event]:
    """Yield what is to be told about models."""
    for model, status in models:
        if status is model.status or model.metadata.deletion_timestamp:
            continue
        event = model_event(model, status)
        if event:
            yield event
