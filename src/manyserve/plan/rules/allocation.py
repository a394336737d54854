"""Rules for the allocation of a host, and for the copies of a model.

`SERVED` is the one switch of heterogeneous hosts. A host with another allocation is refused with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from manyserve.api.inferenceservice import (
    ALLOCATIONS,
    CPU,
    HETEROGENEOUS,
    HOMOGENEOUS,
    MEMORY,
    MODEL_METRICS,
    InferenceService,
)
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.memory import most_pods
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.servers.registry import server_kind

RESOURCES = (CPU, MEMORY)
"""Metrics of a HorizontalPodAutoscaler."""
UNCOUNTED = "v1"
"""Dialect of the servers without counters."""
SERVED: tuple[str, ...] = (HOMOGENEOUS,)
"""Allocations that hosts may have. `HETEROGENEOUS` joins them when routers lead requests to the pods with a model."""
REPLICAS = (1, 1000)
TARGETS = (1, 100_000)
REPLICAS_SENTENCE = "maxReplicas must not be below minReplicas (which is 1 when unset)"
ON_DEMAND_SENTENCE = "0 is not supported yet: a model has at least 1 copy; it must be from 1 to 1000"


def serves_shards() -> bool:
    """Return whether hosts may have several shards."""
    return HETEROGENEOUS in SERVED


def allocation_is_served(host: InferenceService) -> Iterator[FieldError]:
    """Require an allocation that hosts may have."""
    allocation = host.spec.predictor.allocation
    if allocation is None or allocation in SERVED:
        return
    if allocation in ALLOCATIONS:
        yield FieldError("spec.predictor.allocation", f"allocation {allocation} is not supported yet")
    else:
        sentence = f"{quoted(allocation)} is not allowed; it must be {' or '.join(ALLOCATIONS)}"
        yield FieldError("spec.predictor.allocation", sentence)


def scale_metric_fits_the_allocation(host: InferenceService) -> Iterator[FieldError]:
    """Require a metric of traffic on a heterogeneous host, and a known one on a homogeneous host."""
    predictor = host.spec.predictor
    allowed = MODEL_METRICS if predictor.is_heterogeneous else (*RESOURCES, *MODEL_METRICS)
    if predictor.scale_metric is not None and predictor.scale_metric not in allowed:
        sentence = f"{quoted(predictor.scale_metric)} is not supported; it must be {_alternatives(allowed)}"
        yield FieldError("spec.predictor.scaleMetric", sentence)


def traffic_is_counted(host: InferenceService) -> Iterator[FieldError]:
    """Refuse a metric of traffic on a homogeneous host if its server has no counters of requests."""
    predictor = host.spec.predictor
    if predictor.is_heterogeneous or predictor.scale_metric not in MODEL_METRICS:
        return
    if server_kind(predictor).dialect == UNCOUNTED:
        yield FieldError(
            "spec.predictor.scaleMetric",
            f"{quoted(predictor.scale_metric)} needs counters of requests, and a server with the protocol v1 has none; "
            f"it must be {_alternatives(RESOURCES)}",
        )


def _alternatives(values: Sequence[str]) -> str:
    return " or ".join((", ".join(values[:-1]), values[-1]))


def copies_are_a_range(model: TrainedModel) -> Iterator[FieldError]:
    """Require numbers of copies from 1 on, with `maxReplicas` not below `minReplicas`."""
    least, most = model.spec.min_replicas, model.spec.max_replicas
    if least == 0:
        yield FieldError("spec.minReplicas", ON_DEMAND_SENTENCE)
        return
    yield from _in_range("spec.minReplicas", least, REPLICAS)
    yield from _in_range("spec.maxReplicas", most, REPLICAS)
    if most is not None and most < (least or 1):
        clause = f"maxReplicas is {most}, minReplicas {least or 1}"
        yield FieldError("spec.maxReplicas", f"{clause}; {REPLICAS_SENTENCE}")


def scaling_is_known(model: TrainedModel) -> Iterator[FieldError]:
    """Require a known metric, and a target above 0."""
    metric = model.spec.scale_metric
    if metric is not None and metric not in MODEL_METRICS:
        sentence = f"{quoted(metric)} is not supported; it must be {' or '.join(MODEL_METRICS)}"
        yield FieldError("spec.scaleMetric", sentence)
    yield from _in_range("spec.scaleTarget", model.spec.scale_target, TARGETS)


def _in_range(path: str, number: int | None, bounds: tuple[int, int]) -> Iterator[FieldError]:
    least, most = bounds
    if number is not None and not least <= number <= most:
        yield FieldError(path, f"{quoted(number)} is not allowed; it must be from {least} to {most}")


HOST_RULES: tuple[Callable[[InferenceService], Iterator[FieldError]], ...] = (
    allocation_is_served,
    scale_metric_fits_the_allocation,
    traffic_is_counted,
)
MODEL_RULES: tuple[Callable[[TrainedModel], Iterator[FieldError]], ...] = (copies_are_a_range, scaling_is_known)


def copies_of_homogeneous(host: InferenceService, model: TrainedModel) -> list[FieldError]:
    """Return the errors of a model with fields that only a heterogeneous host has."""
    if host.spec.predictor.is_heterogeneous:
        return []
    spec = model.spec
    numbers = {"minReplicas": spec.min_replicas, "maxReplicas": spec.max_replicas}
    given = {**numbers, "scaleMetric": spec.scale_metric, "scaleTarget": spec.scale_target}
    sentence = (
        f"is for hosts with allocation {HETEROGENEOUS}, and {host.metadata.name} is {HOMOGENEOUS}: each of its pods "
        "has all models; it must be left out"
    )
    return [FieldError(f"spec.{name}", sentence) for name, value in given.items() if value is not None]


def copies_above_host(host: InferenceService, model: TrainedModel) -> str | None:
    """Return the sentence about a model with more copies than its host may have pods, or None."""
    pods = most_pods(host)
    copies = max(model.spec.min_replicas or 1, model.spec.max_replicas or 1)
    if not host.spec.predictor.is_heterogeneous or copies <= pods:
        return None
    return (
        f"{model.metadata.name} may have {copies} copies, and {host.metadata.name} has {pods} pods at most: it gets "
        f"{pods} copies at most; raise spec.predictor.maxReplicas of {host.metadata.name} for more"
    )
