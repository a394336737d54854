"""The status of a model: each condition of the walkthrough, judged in order; the first that fails explains.

The list in `_judge` is the specification: the host is there and ready, it takes several models, it supports
the framework, it has the memory, and every replica has the model loaded. `Ready` is all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from typing import cast

from manyserve.api import conditions
from manyserve.api.conditions import INVALID_SPEC, Condition, Status
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import Address, PlacedBy, TrainedModel, TrainedModelStatus, placed_by
from manyserve.plan import urls
from manyserve.plan.capacity import framework_error, multi_model_error
from manyserve.plan.claims import claim_told
from manyserve.plan.departure import host_uid
from manyserve.plan.field_rules import every_field_of_a_model_is_known
from manyserve.plan.loading import STILL_SERVED, Loading, not_placed, roll_up
from manyserve.plan.observed import Observed
from manyserve.plan.placement import Placement
from manyserve.plan.pods import Replica
from manyserve.plan.source_rules import STORAGE_URI, source_error
from manyserve.plan.validation import model_problems

HOST_NOT_FOUND = "InferenceServiceNotFound"
HOST_NOT_READY = "InferenceServiceNotReady"
NOT_MMS = "IsNotMMSPredictor"
NOT_SUPPORTED = "FrameworkNotSupported"
NO_MEMORY = "MemoryResourceNotAvailable"
NOT_ALLOWED = "StorageUriNotAllowed"
FULL = "ModelConfigFull"
_ORDER = (
    conditions.IS_MMS_PREDICTOR,
    conditions.FRAMEWORK_SUPPORTED,
    conditions.MEMORY_RESOURCE_AVAILABLE,
    conditions.INFERENCE_SERVICE_READY,
    conditions.LOADED,
)


def waiting_status(model: TrainedModel, *, leaving: bool, kept: bool, now: datetime) -> TrainedModelStatus:
    """Return the status of a model that has no host, or one that is being deleted; kept, it outlives the host."""
    what = "is being deleted" if leaving else f"does not exist in namespace {model.metadata.namespace}"
    why = f"waiting for InferenceService {model.spec.inference_service}, which {what}"
    wrong = "; ".join(map(str, model_problems(model)))
    ready: tuple[Status, str, str] = ("False", INVALID_SPEC, wrong) if wrong else ("False", HOST_NOT_FOUND, why)
    found = (
        Condition(type=kind, status=status, reason=reason, message=message)
        for kind, (status, reason, message) in {
            conditions.IS_MMS_PREDICTOR: ("Unknown", HOST_NOT_FOUND, why),
            conditions.FRAMEWORK_SUPPORTED: ("Unknown", HOST_NOT_FOUND, why),
            conditions.MEMORY_RESOURCE_AVAILABLE: ("Unknown", HOST_NOT_FOUND, why),
            conditions.LOADED: ready if wrong else ("Unknown", HOST_NOT_FOUND, why),
            conditions.INFERENCE_SERVICE_READY: ("False", HOST_NOT_FOUND, why),
            conditions.READY: ready,
        }.items()
    )
    return TrainedModelStatus(
        conditions=conditions.carry_over(model.status.conditions, tuple(found), now),
        replicas=0,
        loaded_replicas=0,
        loaded="0/0",
        observed_generation=model.metadata.generation,
        observed_uid=model.metadata.uid,
        placed_by=None if kept or host_uid(model) is None else model.status.placed_by,
    )


@dataclass(frozen=True)
class Host:
    """What the statuses of a host's models have in common: asked once, said thousands of times."""

    service: InferenceService
    observed: Observed
    placement: Placement
    replicas: tuple[Replica, ...]
    conditions: tuple[Condition, ...]
    """The host's own."""
    _told: dict[tuple[int, ...], tuple[object, ...]] = field(default_factory=dict)

    @cached_property
    def takes_several(self) -> Condition:
        """Whether it takes TrainedModels at all."""
        return _condition(conditions.IS_MMS_PREDICTOR, NOT_MMS, multi_model_error(self.service, self.observed.config))

    @cached_property
    def is_ready(self) -> Condition:
        """Whether it answers."""
        return _condition(conditions.INFERENCE_SERVICE_READY, HOST_NOT_READY, self._why_not_ready())

    @cached_property
    def supports(self) -> Callable[[str], Condition]:
        """Whether its server supports a framework; kept here, so it knows nothing of us, or we would never be freed."""
        service, config = self.service, self.observed.config
        return cache(
            lambda framework: _condition(
                conditions.FRAMEWORK_SUPPORTED, NOT_SUPPORTED, framework_error(service, framework, config)
            )
        )

    @cached_property
    def places(self) -> tuple[str, str, str]:
        """The beginning of the models' URLs from outside and inside the cluster, and the protocol."""
        ingress = self.observed.config.ingress
        key, protocol = self.observed.key, self.service.spec.predictor.protocol
        return urls.host_url(key, ingress), urls.host_address(key), protocol

    def told(self, old: tuple[Condition, ...], judged: tuple[Condition, ...], now: datetime) -> tuple[Condition, ...]:
        """Return all conditions of a model that had the old ones: asked once for all to which the same happens."""
        key = tuple(map(id, (old, *judged)))
        if key not in self._told:
            found = conditions.carry_over(old, (*judged, _ready(judged)), now)
            self._told[key] = found, old, judged  # which keeps the ids theirs
            return found
        return cast("tuple[Condition, ...]", self._told[key][0])

    def _why_not_ready(self) -> str | None:
        ready = conditions.find(self.conditions, conditions.READY)
        if ready is not None and ready.status == "True":
            return None
        return f"{self.service.metadata.name} is not ready: {ready.message if ready else 'it was not looked at yet'}"


def model_status(model: TrainedModel, host: Host, now: datetime) -> TrainedModelStatus:
    """Return the status of a model whose host exists; the one that it has, if nothing changed."""
    name = model.metadata.name
    old = model.status
    loading, loaded = _loaded(model, host)
    url, address, protocol = host.places
    path = urls.model_path(name, protocol)
    told = host.told(old.conditions, (*_judge(model, host), loaded), now)
    said = f"{loading.loaded}/{loading.replicas}"
    by = _placed_by(model, host)
    outside, inside = f"{url}{path}", f"{address}{path}"
    if (
        old.conditions == told
        and old.observed_generation == model.metadata.generation
        and (old.loaded, old.replicas, old.loaded_replicas) == (said, loading.replicas, loading.loaded)
        and old.last_failure == loading.failure
        and old.placed_by == by
        and old.observed_uid == model.metadata.uid
        and old.url == outside
        and old.address is not None
        and old.address.url == inside
    ):
        return old
    return TrainedModelStatus(
        url=outside,
        address=Address(url=inside),
        conditions=told,
        replicas=loading.replicas,
        loaded_replicas=loading.loaded,
        loaded=said,
        last_failure=loading.failure,
        observed_generation=model.metadata.generation,
        observed_uid=model.metadata.uid,
        placed_by=by,
    )


def _placed_by(model: TrainedModel, host: Host) -> PlacedBy | None:
    """Return the host if it places the model or has placed it before."""
    meta = host.service.metadata
    if model.metadata.name in host.placement.placed:
        return placed_by(meta.name, meta.uid)
    return model.status.placed_by if host_uid(model) == meta.uid else None


def _loaded(model: TrainedModel, host: Host) -> tuple[Loading, Condition]:
    """Return how far the model is, and the condition `Loaded`, in the words of what it waits for."""
    key, entry = host.observed.key, host.placement.placed.get(model.metadata.name)
    if entry is None:
        loading = not_placed(host.replicas, f"not placed on {key.name}")
        return loading, _not_taken(loading, model, host)
    loading = roll_up(key.name, entry, host.replicas)
    wrong = host.placement.invalid.get(model.metadata.name)
    if wrong is not None:
        served = STILL_SERVED if loading.loaded else ""
        return loading, _condition(conditions.LOADED, INVALID_SPEC, f"{wrong}{served}")
    loaded = claim_told(loading.condition, entry, host.observed, host.replicas)
    return loading, _with_unknown_fields(loaded, model) if model.unknown_fields else loaded


def _with_unknown_fields(loaded: Condition, model: TrainedModel) -> Condition:
    """Return the condition `Loaded` of a placed model that was given unknown fields: it answers, and says so."""
    if loaded.status != "True":
        return loaded
    said = "; ".join(map(str, every_field_of_a_model_is_known(model)))
    return conditions.condition(conditions.LOADED, "True", INVALID_SPEC, said)


def _not_taken(loading: Loading, model: TrainedModel, host: Host) -> Condition:
    """Return the condition `Loaded` of a model that is not placed: there may be no room, or its place not allowed."""
    full = host.placement.left_out.get(model.metadata.name)
    if full is not None:
        return _condition(conditions.LOADED, FULL, full)
    wrong = host.placement.invalid.get(model.metadata.name)
    if wrong is not None:
        return _condition(conditions.LOADED, INVALID_SPEC, f"{loading.condition.message}: {wrong}")
    if host.observed.host_problems:
        wrong = f"the spec of {host.observed.key.name} is invalid: {host.observed.host_problems[0]}"
        return _condition(conditions.LOADED, HOST_NOT_READY, f"{loading.condition.message}: {wrong}")
    why = source_error(model.spec.model.storage_uri, host.observed.config.credentials.https)
    if why is None:
        return loading.condition
    return _condition(conditions.LOADED, NOT_ALLOWED, f"{loading.condition.message}: {STORAGE_URI}: {why}")


def _judge(model: TrainedModel, host: Host) -> tuple[Condition, ...]:
    supported = host.supports(model.spec.model.framework)
    return host.takes_several, supported, _memory(model, host.placement), host.is_ready


def _memory(model: TrainedModel, placement: Placement) -> Condition:
    room = placement.insufficient_memory.get(model.metadata.name)
    if room is None and model.metadata.name not in placement.placed:
        why = "not judged: the host does not take this model"
        return conditions.condition(conditions.MEMORY_RESOURCE_AVAILABLE, "Unknown", "NotJudged", why)
    return _condition(conditions.MEMORY_RESOURCE_AVAILABLE, NO_MEMORY, room)


def _condition(kind: str, reason: str, why: str | None) -> Condition:
    if why is None:
        return conditions.condition(kind, "True")
    return conditions.condition(kind, "False", reason, why)


def _ready(judged: Sequence[Condition]) -> Condition:
    by_type = {each.type: each for each in judged}
    loaded = by_type[conditions.LOADED]
    bad = next((by_type[kind] for kind in _ORDER if by_type[kind].status == "False"), None)
    if bad is None:
        return conditions.condition(conditions.READY, "True", loaded.reason, loaded.message)
    if loaded.reason == INVALID_SPEC and loaded.status == "False":
        bad = loaded
    return conditions.condition(conditions.READY, "False", bad.reason, bad.message)
