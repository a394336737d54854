"""The status of a model: each condition of the walkthrough, judged in order; the first that fails explains.

The list in `_judge` is the specification: the host is there and ready, it takes several models, it supports
the framework, it has the memory, and every replica has the model loaded. `Ready` is all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from manyserve.api import conditions
from manyserve.api.conditions import Condition
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import Address, TrainedModel, TrainedModelStatus
from manyserve.plan import urls
from manyserve.plan.capacity import why_not_framework, why_not_several
from manyserve.plan.claims import claim_told
from manyserve.plan.loading import Loading, not_placed, roll_up
from manyserve.plan.observed import Observed
from manyserve.plan.placement import Placement
from manyserve.plan.pods import Replica
from manyserve.plan.source_rules import STORAGE_URI, why_not_source

HOST_NOT_FOUND = "InferenceServiceNotFound"
HOST_NOT_READY = "InferenceServiceNotReady"
NOT_MMS = "IsNotMMSPredictor"
NOT_SUPPORTED = "FrameworkNotSupported"
NO_MEMORY = "MemoryResourceNotAvailable"
NOT_ALLOWED = "StorageUriNotAllowed"
_ORDER = (
    conditions.IS_MMS_PREDICTOR,
    conditions.FRAMEWORK_SUPPORTED,
    conditions.MEMORY_RESOURCE_AVAILABLE,
    conditions.INFERENCE_SERVICE_READY,
    conditions.LOADED,
)


def waiting_status(model: TrainedModel, now: datetime) -> TrainedModelStatus:
    """Return the status of a model whose host does not exist: it waits, and says for what."""
    name = model.spec.inference_service
    why = f"waiting for InferenceService {name}, which does not exist in namespace {model.metadata.namespace}"
    unknown = (
        Condition(type=kind, status="Unknown", reason=HOST_NOT_FOUND, message=why)
        for kind in (
            conditions.IS_MMS_PREDICTOR,
            conditions.FRAMEWORK_SUPPORTED,
            conditions.MEMORY_RESOURCE_AVAILABLE,
            conditions.LOADED,
        )
    )
    failed = (
        Condition(type=kind, status="False", reason=HOST_NOT_FOUND, message=why)
        for kind in (conditions.INFERENCE_SERVICE_READY, conditions.READY)
    )
    return TrainedModelStatus(
        conditions=conditions.carry_over(model.status.conditions, (*unknown, *failed), now),
        replicas=0,
        loaded_replicas=0,
        loaded="0/0",
        observed_generation=model.metadata.generation,
    )


def model_status(
    model: TrainedModel,
    service: InferenceService,
    observed: Observed,
    placement: Placement,
    host_conditions: Sequence[Condition],
    replicas: Sequence[Replica],
    now: datetime,
) -> TrainedModelStatus:
    """Return the status of a model whose host exists."""
    name, key = model.metadata.name, observed.key
    entry = placement.placed.get(name)
    loading = roll_up(key.name, entry, replicas) if entry else not_placed(replicas, f"not placed on {key.name}")
    loaded = claim_told(loading.condition, entry, observed, replicas) if entry else _not_taken(loading, model, observed)
    judged = (*_judge(model, service, observed, placement, host_conditions), loaded)
    path = urls.model_path(name, service.spec.predictor.protocol)
    return TrainedModelStatus(
        url=f"{urls.host_url(key, observed.config.ingress)}{path}",
        address=Address(url=f"{urls.host_address(key)}{path}"),
        conditions=conditions.carry_over(model.status.conditions, (*judged, _ready(judged)), now),
        **_counts(loading),
        observed_generation=model.metadata.generation,
    )


def _not_taken(loading: Loading, model: TrainedModel, observed: Observed) -> Condition:
    """Return the condition `Loaded` of a model that is not placed: its place may be one that is not allowed."""
    why = why_not_source(model.spec.model.storage_uri, observed.config.credentials.https)
    if why is None:
        return loading.condition
    message = f"{loading.condition.message}: {STORAGE_URI}: {why}"
    return loading.condition.model_copy(update={"reason": NOT_ALLOWED, "message": message})


def _counts(loading: Loading) -> dict[str, object]:
    return {
        "replicas": loading.replicas,
        "loaded_replicas": loading.loaded,
        "loaded": f"{loading.loaded}/{loading.replicas}",
        "last_failure": loading.failure,
    }


def _judge(
    model: TrainedModel,
    service: InferenceService,
    observed: Observed,
    placement: Placement,
    host_conditions: Sequence[Condition],
) -> tuple[Condition, ...]:
    framework = model.spec.model.framework
    several = why_not_several(service, observed.config)
    supported = why_not_framework(service, framework, observed.config)
    room = placement.no_room.get(model.metadata.name)
    return (
        _condition(conditions.IS_MMS_PREDICTOR, NOT_MMS, several),
        _condition(conditions.FRAMEWORK_SUPPORTED, NOT_SUPPORTED, supported),
        _memory(model, placement, room),
        _condition(conditions.INFERENCE_SERVICE_READY, HOST_NOT_READY, _why_not_ready(service, host_conditions)),
    )


def _memory(model: TrainedModel, placement: Placement, room: str | None) -> Condition:
    if room is None and model.metadata.name not in placement.placed:
        why = "not judged: the host does not take this model"
        return Condition(type=conditions.MEMORY_RESOURCE_AVAILABLE, status="Unknown", reason="NotJudged", message=why)
    return _condition(conditions.MEMORY_RESOURCE_AVAILABLE, NO_MEMORY, room)


def _why_not_ready(service: InferenceService, host_conditions: Sequence[Condition]) -> str | None:
    ready = conditions.find(host_conditions, conditions.READY)
    if ready is not None and ready.status == "True":
        return None
    return f"{service.metadata.name} is not ready: {ready.message if ready else 'it was not looked at yet'}"


def _condition(kind: str, reason: str, why: str | None) -> Condition:
    if why is None:
        return Condition(type=kind, status="True")
    return Condition(type=kind, status="False", reason=reason, message=why)


def _ready(judged: Sequence[Condition]) -> Condition:
    by_type = {each.type: each for each in judged}
    bad = next((by_type[kind] for kind in _ORDER if by_type[kind].status == "False"), None)
    if bad is None:
        return Condition(type=conditions.READY, status="True", message=by_type[conditions.LOADED].message)
    return Condition(type=conditions.READY, status="False", reason=bad.reason, message=bad.message)
