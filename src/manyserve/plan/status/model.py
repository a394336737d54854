"""Status of a TrainedModel: a chain of checks, one for each condition; the first that fails explains `Ready`.

`CHECKS` is the specification. A new condition is a constant in `api.conditions`, a row in `CHECKS` and its function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from manyserve.api import conditions
from manyserve.api.conditions import INVALID_SPEC, Condition, Status
from manyserve.api.trainedmodel import Address, PlacedBy, TrainedModel, TrainedModelStatus, placed_by
from manyserve.plan.children.routing import model_path
from manyserve.plan.departure import host_uid
from manyserve.plan.memory import least_copies, most_pods
from manyserve.plan.placement import entry_of
from manyserve.plan.rules.allocation import copies_above_host, copies_of_homogeneous
from manyserve.plan.rules.fields import FieldError, model_fields_are_known
from manyserve.plan.rules.source import STORAGE_URI, source_error
from manyserve.plan.rules.validation import model_problems
from manyserve.plan.status.context import HOST_NOT_READY, HostContext, judged
from manyserve.plan.status.copies import Copies
from manyserve.plan.status.loading import STILL_SERVED, Loading, not_placed, roll_up
from manyserve.plan.storage.claims import claim_condition

HOST_NOT_FOUND = "InferenceServiceNotFound"
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
        and (old.last_failure, old.shards) == (loading.failure, loading.shards)
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
        shards=loading.shards,
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
    if context.is_heterogeneous:
        return _copies(model, context).loading()
    if entry is None:
        return not_placed(context.replicas, f"not placed on {name}")
    return roll_up(name, entry, context.replicas)


def _copies(model: TrainedModel, context: HostContext) -> Copies:
    """Return the copies of a model on a heterogeneous host."""
    name, host, placement = model.metadata.name, context.host, context.placement
    entries = placement.entries.get(name, {})
    is_limited = model.spec.min_replicas is not None and least_copies(model) > most_pods(host)
    return Copies(
        name=name,
        host=host.metadata.name,
        entries=entries,
        wanted=placement.copies.get(name, len(entries)),
        replicas=context.by_shard,
        newest=_newest_digest(model, context),
        waiting=placement.waiting_copies.get(name),
        limited=copies_above_host(host, model) if is_limited else None,
        led=context.led,
    )


def _newest_digest(model: TrainedModel, context: HostContext) -> str | None:
    """Return the digest of the desired version while a copy may have an earlier one, else None."""
    name, placement = model.metadata.name, context.placement
    if name in placement.invalid or context.observed.host_problems:
        return None
    entries = placement.entries.get(name, {})
    is_whole = name not in placement.insufficient_memory and len({each.digest for each in entries.values()}) <= 1
    return None if is_whole else entry_of(model).digest


def _is_mms_predictor(_model: TrainedModel, context: HostContext, _loading: Loading) -> Condition:
    return context.is_multi_model


def _framework_supported(model: TrainedModel, context: HostContext, _loading: Loading) -> Condition:
    return context.supports(model.spec.model.framework)


def _memory_available(model: TrainedModel, context: HostContext, _loading: Loading) -> Condition:
    error = context.placement.insufficient_memory.get(model.metadata.name)
    if error is None and model.metadata.name not in context.placement.placed:
        message = "not judged: the host does not take this model"
        return conditions.condition(conditions.MEMORY_RESOURCE_AVAILABLE, "Unknown", "NotJudged", message)
    return judged(conditions.MEMORY_RESOURCE_AVAILABLE, NO_MEMORY, error)


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
        return judged(conditions.LOADED, _invalid_reason(model, context), f"{error}{served}")
    loaded = claim_condition(loading.condition, entry, context.observed, context.replicas_of(model.metadata.name))
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
        return judged(conditions.LOADED, NOT_UNLOADED, waiting)
    full = context.placement.left_out.get(model.metadata.name)
    if full is not None:
        return judged(conditions.LOADED, FULL, full)
    error = context.placement.invalid.get(model.metadata.name)
    if error is not None:
        return judged(conditions.LOADED, _invalid_reason(model, context), f"{loading.condition.message}: {error}")
    if context.observed.host_problems:
        error = f"the spec of {context.observed.key.name} is invalid: {context.observed.host_problems[0]}"
        return judged(conditions.LOADED, HOST_NOT_READY, f"{loading.condition.message}: {error}")
    error = source_error(model.spec.model.storage_uri, context.observed.config.credentials.https)
    if error is None:
        return loading.condition
    return judged(conditions.LOADED, NOT_ALLOWED, f"{loading.condition.message}: {STORAGE_URI}: {error}")


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
