"""Status of a TrainedModel: a chain of checks, one for each condition; the first that fails explains `Ready`.

`CHECKS` is the specification. A new condition is a constant in `api.conditions`, a row in `CHECKS` and its function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from typing import cast

from manyserve.api import conditions
from manyserve.api.conditions import INVALID_SPEC, Condition, Status
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import Address, PlacedBy, TrainedModel, TrainedModelStatus, placed_by
from manyserve.plan.capacity import framework_error, multi_model_error
from manyserve.plan.children.routing import host_address, model_path
from manyserve.plan.departure import host_uid
from manyserve.plan.hostname import exposed_url
from manyserve.plan.observed import Observed
from manyserve.plan.placement import Placement
from manyserve.plan.pods import Replica
from manyserve.plan.rules.allocation import copies_of_homogeneous
from manyserve.plan.rules.fields import FieldError, model_fields_are_known
from manyserve.plan.rules.source import STORAGE_URI, source_error
from manyserve.plan.rules.validation import model_problems
from manyserve.plan.status.loading import STILL_SERVED, Loading, not_placed, roll_up
from manyserve.plan.storage.claims import claim_condition

HOST_NOT_FOUND = "InferenceServiceNotFound"
HOST_NOT_READY = "InferenceServiceNotReady"
NOT_MMS = "IsNotMMSPredictor"
NOT_SUPPORTED = "FrameworkNotSupported"
NO_MEMORY = "MemoryResourceNotAvailable"
NOT_ALLOWED = "StorageUriNotAllowed"
FULL = "ModelConfigFull"
NOT_UNLOADED = "ModelNotUnloaded"
HOMOGENEOUS_HOST = "HomogeneousInferenceService"
"""Reason of a model with copies of its own on a host with the same models on all pods."""


def waiting_status(model: TrainedModel, *, leaving: bool, kept: bool, now: datetime) -> TrainedModelStatus:
    """Return the status of a model without a host, or with a host in deletion; a `kept` model outlives the host."""
    host_state = "is being deleted" if leaving else f"does not exist in namespace {model.metadata.namespace}"
    message = f"waiting for InferenceService {model.spec.inference_service}, which {host_state}"
    problems = "; ".join(map(str, model_problems(model)))
    ready = _false(INVALID_SPEC, problems) if problems else _false(HOST_NOT_FOUND, message)
    known = {conditions.INFERENCE_SERVICE_READY: _false(HOST_NOT_FOUND, message), conditions.READY: ready}
    if problems:
        known[conditions.LOADED] = ready
    unknown: _Outcome = ("Unknown", HOST_NOT_FOUND, message)
    new = [
        conditions.condition(kind, *known.get(kind, unknown))
        for kind in (*(kind for kind, _ in CHECKS), conditions.READY)
    ]
    return TrainedModelStatus(
        conditions=conditions.merge_conditions(model.status.conditions, new, now),
        replicas=0,
        loaded_replicas=0,
        loaded="0/0",
        observed_generation=model.metadata.generation,
        observed_uid=model.metadata.uid,
        placed_by=None if kept or host_uid(model) is None else model.status.placed_by,
    )


@dataclass(frozen=True)
class HostContext:
    """A host, with the parts that the statuses of all its models share; each is computed once."""

    host: InferenceService
    observed: Observed
    placement: Placement
    replicas: tuple[Replica, ...]
    conditions: tuple[Condition, ...]
    """Conditions of the host itself."""
    _merged: dict[tuple[int, ...], tuple[object, ...]] = field(default_factory=dict)

    @cached_property
    def is_multi_model(self) -> Condition:
        """The condition `IsMMSPredictor`: the host accepts TrainedModels."""
        return _condition(conditions.IS_MMS_PREDICTOR, NOT_MMS, multi_model_error(self.host, self.observed.config))

    @cached_property
    def is_ready(self) -> Condition:
        """The condition `InferenceServiceReady`: the host is ready."""
        ready = conditions.find(self.conditions, conditions.READY)
        message = ready.message if ready else "not checked yet"
        error = None if ready and ready.status == "True" else f"{self.host.metadata.name} is not ready: {message}"
        return _condition(conditions.INFERENCE_SERVICE_READY, HOST_NOT_READY, error)

    @cached_property
    def supports(self) -> Callable[[str], Condition]:
        """Cached function from framework to condition; no reference to `self`, as such a cycle would never be freed."""
        host, config = self.host, self.observed.config
        return cache(
            lambda framework: _condition(
                conditions.FRAMEWORK_SUPPORTED, NOT_SUPPORTED, framework_error(host, framework, config)
            )
        )

    @cached_property
    def url_parts(self) -> tuple[str | None, str, str]:
        """The URLs of the host outside and inside the cluster, and the protocol of its server."""
        return exposed_url(self.observed), host_address(self.observed.key), self.host.spec.predictor.protocol

    def merge(self, old: tuple[Condition, ...], checked: tuple[Condition, ...], now: datetime) -> tuple[Condition, ...]:
        """Merge old and checked conditions; computed once for all models with the same objects."""
        key = tuple(map(id, (old, *checked)))
        if key not in self._merged:
            merged = conditions.merge_conditions(old, (*checked, _ready(checked)), now)
            self._merged[key] = merged, old, checked  # keeps the objects alive, so that their ids stay unique
            return merged
        return cast("tuple[Condition, ...]", self._merged[key][0])


def model_status(model: TrainedModel, context: HostContext, now: datetime) -> TrainedModelStatus:
    """Return the status of a model with a host; the old status object when nothing changed."""
    name = model.metadata.name
    old = model.status
    loading = _loading(model, context)
    url, address, protocol = context.url_parts
    path = model_path(name, protocol)
    merged = context.merge(old.conditions, tuple([check(model, context, loading) for _, check in CHECKS]), now)
    loaded = f"{loading.loaded}/{loading.replicas}"
    host_record = _placed_by(model, context)
    outside, inside = f"{url}{path}" if url else None, f"{address}{path}"
    if (
        old.conditions == merged
        and old.observed_generation == model.metadata.generation
        and (old.loaded, old.replicas, old.loaded_replicas) == (loaded, loading.replicas, loading.loaded)
        and old.last_failure == loading.failure
        and old.placed_by == host_record
        and old.observed_uid == model.metadata.uid
        and old.url == outside
        and old.address is not None
        and old.address.url == inside
    ):
        return old
    return TrainedModelStatus(
        url=outside,
        address=Address(url=inside),
        conditions=merged,
        replicas=loading.replicas,
        loaded_replicas=loading.loaded,
        loaded=loaded,
        last_failure=loading.failure,
        observed_generation=model.metadata.generation,
        observed_uid=model.metadata.uid,
        placed_by=host_record,
    )


def _placed_by(model: TrainedModel, context: HostContext) -> PlacedBy | None:
    """Return the record of the host if it places the model, or placed it earlier."""
    meta = context.host.metadata
    if model.metadata.name in context.placement.placed:
        return placed_by(meta.name, meta.uid)
    return model.status.placed_by if host_uid(model) == meta.uid else None


def _loading(model: TrainedModel, context: HostContext) -> Loading:
    """Return the model's state on the replicas."""
    name, entry = context.observed.key.name, context.placement.placed.get(model.metadata.name)
    if entry is None:
        return not_placed(context.replicas, f"not placed on {name}")
    return roll_up(name, entry, context.replicas)


def _is_mms_predictor(_model: TrainedModel, context: HostContext, _loading: Loading) -> Condition:
    return context.is_multi_model


def _framework_supported(model: TrainedModel, context: HostContext, _loading: Loading) -> Condition:
    return context.supports(model.spec.model.framework)


def _memory_available(model: TrainedModel, context: HostContext, _loading: Loading) -> Condition:
    error = context.placement.insufficient_memory.get(model.metadata.name)
    if error is None and model.metadata.name not in context.placement.placed:
        message = "not judged: the host does not take this model"
        return conditions.condition(conditions.MEMORY_RESOURCE_AVAILABLE, "Unknown", "NotJudged", message)
    return _condition(conditions.MEMORY_RESOURCE_AVAILABLE, NO_MEMORY, error)


def _host_ready(_model: TrainedModel, context: HostContext, _loading: Loading) -> Condition:
    return context.is_ready


def _loaded(model: TrainedModel, context: HostContext, loading: Loading) -> Condition:
    """Return the condition `Loaded` of a model, placed or not."""
    entry = context.placement.placed.get(model.metadata.name)
    if entry is None:
        return _not_placed(model, context, loading)
    error = context.placement.invalid.get(model.metadata.name)
    if error is not None:
        served = STILL_SERVED if loading.loaded else ""
        return _condition(conditions.LOADED, _invalid_reason(model, context), f"{error}{served}")
    loaded = claim_condition(loading.condition, entry, context.observed, context.replicas)
    if model.unknown_fields:
        return _with_problems(loaded, INVALID_SPEC, model_fields_are_known(model))
    misplaced = copies_of_homogeneous(context.host, model)
    return _with_problems(loaded, HOMOGENEOUS_HOST, misplaced) if misplaced else loaded


def _invalid_reason(model: TrainedModel, context: HostContext) -> str:
    is_misplaced = not model_problems(model) and copies_of_homogeneous(context.host, model)
    return HOMOGENEOUS_HOST if is_misplaced else INVALID_SPEC


def _with_problems(loaded: Condition, reason: str, problems: Iterable[FieldError]) -> Condition:
    """Return the condition `Loaded` of a placed model with fields that no host, or not this one, has.

    The model answers, and the message names the fields.
    """
    if loaded.status != "True":
        return loaded
    return conditions.condition(conditions.LOADED, "True", reason, "; ".join(map(str, problems)))


def _not_placed(model: TrainedModel, context: HostContext, loading: Loading) -> Condition:
    """Return the condition `Loaded` of a model that is not placed."""
    waiting = context.placement.waiting_for_unload.get(model.metadata.name)
    if waiting is not None:
        return _condition(conditions.LOADED, NOT_UNLOADED, waiting)
    full = context.placement.left_out.get(model.metadata.name)
    if full is not None:
        return _condition(conditions.LOADED, FULL, full)
    error = context.placement.invalid.get(model.metadata.name)
    if error is not None:
        return _condition(conditions.LOADED, _invalid_reason(model, context), f"{loading.condition.message}: {error}")
    if context.observed.host_problems:
        error = f"the spec of {context.observed.key.name} is invalid: {context.observed.host_problems[0]}"
        return _condition(conditions.LOADED, HOST_NOT_READY, f"{loading.condition.message}: {error}")
    error = source_error(model.spec.model.storage_uri, context.observed.config.credentials.https)
    if error is None:
        return loading.condition
    return _condition(conditions.LOADED, NOT_ALLOWED, f"{loading.condition.message}: {STORAGE_URI}: {error}")


CHECKS: tuple[tuple[str, Callable[[TrainedModel, HostContext, Loading], Condition]], ...] = (
    (conditions.IS_MMS_PREDICTOR, _is_mms_predictor),
    (conditions.FRAMEWORK_SUPPORTED, _framework_supported),
    (conditions.MEMORY_RESOURCE_AVAILABLE, _memory_available),
    (conditions.INFERENCE_SERVICE_READY, _host_ready),
    (conditions.LOADED, _loaded),
)
"""Conditions of a model beside `Ready`, each with its check; the first that is False is the reason of `Ready`."""

_Outcome = tuple[Status, str, str]


def _false(reason: str, message: str) -> _Outcome:
    return "False", reason, message


def _condition(kind: str, reason: str, error: str | None) -> Condition:
    if error is None:
        return conditions.condition(kind, "True")
    return conditions.condition(kind, "False", reason, error)


def _ready(checked: Sequence[Condition]) -> Condition:
    loaded = next(check for check in checked if check.type == conditions.LOADED)
    failed = next((check for check in checked if check.status == "False"), None)
    if failed is None:
        return conditions.condition(conditions.READY, "True", loaded.reason, loaded.message)
    if loaded.reason == INVALID_SPEC and loaded.status == "False":
        failed = loaded
    return conditions.condition(conditions.READY, "False", failed.reason, failed.message)
