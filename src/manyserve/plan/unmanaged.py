"""Plan for an unmanaged InferenceService: its models wait with the reason, and nothing else is written.

An InferenceService that was a host and became unmanaged keeps its children and its models. One Warning event reports
that the operator stopped acting on it. Children that it owns show that it was a host.
"""

from __future__ import annotations

from datetime import datetime

from manyserve.api import conditions
from manyserve.api.conditions import Condition
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.actions import Event, Plan
from manyserve.plan.management import not_managed
from manyserve.plan.observed import Observed, UnmanagedHost
from manyserve.plan.status.updates import model_updates

NOT_MANAGED = "NotManaged"


def unmanaged_plan(observed: Observed, host: UnmanagedHost, now: datetime) -> Plan:
    """Return the statuses of the models that name the InferenceService, and the event if it was a host before."""
    message = not_managed(observed.key.name, host.why)
    models = [(model, unmanaged_host_status(model, message, now)) for model in observed.models]
    was_host = not observed.announced and any(_owns(host, child) for child in observed.children.values())
    return Plan(
        statuses=tuple(model_updates(models, now)),
        events=(_event(observed, host),) if was_host else (),
    )


def unmanaged_host_status(model: TrainedModel, message: str, now: datetime) -> TrainedModelStatus:
    """Return the status of a model that names an unmanaged InferenceService; the operator knows nothing else of it."""
    conditions_now = [
        Condition(type=kind, status="False", reason=NOT_MANAGED, message=message)
        for kind in (conditions.IS_MMS_PREDICTOR, conditions.READY)
    ]
    conditions_now += [
        Condition(type=kind, status="Unknown", reason=NOT_MANAGED, message=message)
        for kind in (
            conditions.FRAMEWORK_SUPPORTED,
            conditions.MEMORY_RESOURCE_AVAILABLE,
            conditions.INFERENCE_SERVICE_READY,
            conditions.LOADED,
        )
    ]
    return TrainedModelStatus(
        conditions=conditions.merge_conditions(model.status.conditions, conditions_now, now),
        observed_generation=model.metadata.generation,
    )


def _owns(host: UnmanagedHost, child: dict[str, object]) -> bool:
    metadata = child["metadata"]
    owners = metadata.get("ownerReferences") or () if isinstance(metadata, dict) else ()
    return any(each.get("uid") == host.uid for each in owners)


def _event(observed: Observed, host: UnmanagedHost) -> Event:
    message = (
        f"manyserve stops acting on this InferenceService, and leaves its children and models as they are: {host.why}"
    )
    return Event("InferenceService", observed.key.name, host.uid, "Warning", NOT_MANAGED, message, once=True)
