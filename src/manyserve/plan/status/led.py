"""Models to which the routers of a heterogeneous host lead requests, as far as it is known."""

from __future__ import annotations

from collections.abc import Container, Iterable

from manyserve.api import conditions
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.departure import host_uid
from manyserve.plan.observed import Observed


def led_models(host: InferenceService, observed: Observed) -> Container[str] | None:
    """Return the models that each ready router leads; None on a homogeneous host.

    While pods of routers are ready and none of their programs leads, the models of the stored statuses stay. A program
    that restarts knows its models again after about 1 s, and its Envoy keeps its routes. Kubernetes bounds this time
    with the readiness probes.
    """
    if not host.spec.predictor.is_heterogeneous:
        return None
    routers = observed.routers
    is_unknown = any(router.ready for router in routers) and not any(router.leads for router in routers)
    return frozenset(_loaded_before(host, observed.models)) if is_unknown else observed.led_by_all


def _loaded_before(host: InferenceService, models: Iterable[TrainedModel]) -> Iterable[str]:
    """Yield the models that were led on this host, by their stored statuses."""
    for model in models:
        loaded = conditions.find(model.status.conditions, conditions.LOADED)
        if loaded is not None and loaded.status == "True" and host_uid(model) == host.metadata.uid:
            yield model.metadata.name
