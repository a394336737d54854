"""The host of models, with the parts that the statuses of all its models share."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from typing import cast

from manyserve.api import conditions
from manyserve.api.conditions import INVALID_SPEC, Condition
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.capacity import framework_error, multi_model_error
from manyserve.plan.children.routing import host_address
from manyserve.plan.hostname import exposed_url
from manyserve.plan.observed import Observed
from manyserve.plan.placement import Placement
from manyserve.plan.pods import Replica

HOST_NOT_READY = "InferenceServiceNotReady"
NOT_MMS = "IsNotMMSPredictor"
NOT_SUPPORTED = "FrameworkNotSupported"


@dataclass(frozen=True)
class HostContext:
    """A host, with the parts that the statuses of all its models share; each is computed once."""

    host: InferenceService
    observed: Observed
    placement: Placement
    replicas: tuple[Replica, ...]
    conditions: tuple[Condition, ...]
    """Conditions of the host itself."""
    led: Container[str] | None = None
    """Models to which the routers lead requests; None on a homogeneous host."""
    _merged: dict[tuple[int, ...], tuple[object, ...]] = field(default_factory=dict)

    @cached_property
    def is_multi_model(self) -> Condition:
        """The condition `IsMMSPredictor`: the host accepts TrainedModels."""
        return judged(conditions.IS_MMS_PREDICTOR, NOT_MMS, multi_model_error(self.host, self.observed.config))

    @cached_property
    def is_ready(self) -> Condition:
        """The condition `InferenceServiceReady`: the host is ready."""
        ready = conditions.find(self.conditions, conditions.READY)
        message = ready.message if ready else "not checked yet"
        error = None if ready and ready.status == "True" else f"{self.host.metadata.name} is not ready: {message}"
        return judged(conditions.INFERENCE_SERVICE_READY, HOST_NOT_READY, error)

    @cached_property
    def supports(self) -> Callable[[str], Condition]:
        """Cached function from framework to condition; no reference to `self`, as such a cycle would never be freed."""
        host, config = self.host, self.observed.config
        return cache(
            lambda framework: judged(
                conditions.FRAMEWORK_SUPPORTED, NOT_SUPPORTED, framework_error(host, framework, config)
            )
        )

    @cached_property
    def url_parts(self) -> tuple[str | None, str, str]:
        """The URLs of the host outside and inside the cluster, and the protocol of its server."""
        return exposed_url(self.observed), host_address(self.observed.key), self.host.spec.predictor.protocol

    @cached_property
    def by_shard(self) -> Mapping[int, Sequence[Replica]]:
        """The replicas of each shard."""
        shards: dict[int, list[Replica]] = {}
        for replica in self.replicas:
            shards.setdefault(replica.shard, []).append(replica)
        return shards

    def replicas_of(self, name: str) -> Sequence[Replica]:
        """Return the replicas that shall have a model: all of a homogeneous host, else those of its shards."""
        if not self.is_heterogeneous:
            return self.replicas
        return [each for index in self.placement.entries.get(name, ()) for each in self.by_shard.get(index, ())]

    @property
    def is_heterogeneous(self) -> bool:
        """Whether each model has copies of its own."""
        return self.host.spec.predictor.is_heterogeneous

    def merge(self, old: tuple[Condition, ...], checked: tuple[Condition, ...], now: datetime) -> tuple[Condition, ...]:
        """Merge old and checked conditions; computed once for all models with the same objects."""
        key = tuple(map(id, (old, *checked)))
        if key not in self._merged:
            merged = conditions.merge_conditions(old, (*checked, self._ready(checked)), now)
            self._merged[key] = merged, old, checked  # keeps the objects alive, so that their ids stay unique
            return merged
        return cast("tuple[Condition, ...]", self._merged[key][0])

    def _ready(self, checked: Sequence[Condition]) -> Condition:
        """Return the condition `Ready`. A copy that answers is enough, although others find no memory."""
        loaded = next(check for check in checked if check.type == conditions.LOADED)
        failures = [check for check in checked if check.status == "False"]
        answers = self.is_heterogeneous and loaded.status == "True"
        memory = [each for each in failures if answers and each.type == conditions.MEMORY_RESOURCE_AVAILABLE]
        failed = next((each for each in failures if each not in memory), None)
        if failed is None:
            message = "; ".join(each.message for each in (loaded, *memory) if each.message) or None
            reason = next((each.reason for each in (loaded, *memory) if each.reason), None)
            return conditions.condition(conditions.READY, "True", reason, message)
        if loaded.reason == INVALID_SPEC and loaded.status == "False":
            failed = loaded
        return conditions.condition(conditions.READY, "False", failed.reason, failed.message)


def judged(kind: str, reason: str, error: str | None) -> Condition:
    """Return a condition that is False with this reason for an error, else True."""
    if error is None:
        return conditions.condition(kind, "True")
    return conditions.condition(kind, "False", reason, error)
