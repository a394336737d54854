"""What a host can take: which frameworks, how much memory, and whether it takes several models at all.

The webhook asks these questions for an early answer and the plan for the last word, so the answers and
their sentences stand here once.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from manyserve.api.inferenceservice import DEFAULT_PROTOCOLS, OTHER_FRAMEWORKS, InferenceService
from manyserve.api.quantity import format_memory, parse_memory
from manyserve.api.servingconfig import PredictorConfig, ServingConfig
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.management import MULTI_MODEL_ENV
from manyserve.plan.problem import shown

DEFAULT_MEMORY = "2Gi"
DEFAULT_CPU = "1"
_ONE_PROTOCOL = ("triton", "containers")
LARGEST_SHOWN = 3


@dataclass(frozen=True)
class Taken:
    """One model's share of a host's memory, in bytes."""

    model: str
    memory: int


def predictor_name(service: InferenceService) -> str:
    """Return what runs on the host, as the configuration names it: `triton`, `sklearn.v2`, `containers`; or empty."""
    predictor = service.spec.predictor
    if not predictor.name:
        return ""
    return predictor.name if predictor.name in _ONE_PROTOCOL else f"{predictor.name}.{predictor.protocol}"


def given_predictors(host: InferenceService) -> list[str]:
    """Return the fields of `spec.predictor` in which a server stands, also those of servers that we do not run."""
    others = [name for name in OTHER_FRAMEWORKS if f"spec.predictor.{name}" in host.unknown_fields]
    return [*host.spec.predictor.given, *others]


def predictor_config(service: InferenceService, config: ServingConfig) -> PredictorConfig | None:
    """Return what is configured for the host's server; what is configured for no protocol holds for the default."""
    name, protocol = service.spec.predictor.name, service.spec.predictor.protocol
    plain = config.predictors.get(name) if protocol == DEFAULT_PROTOCOLS.get(name) else None
    return config.predictors.get(f"{name}.{protocol}", plain)


def memory_limit(service: InferenceService) -> int:
    """Return the bytes that the host's models may declare in all: the server container's memory limit.

    A limit that cannot be read is 0: nothing fits, and the API server's own sentence about the Deployment
    tells why.
    """
    resources = service.spec.predictor.server.resources
    limits = (resources.limits or {}) if resources else {}
    requests = (resources.requests or {}) if resources else {}
    try:
        return parse_memory(limits.get("memory", requests.get("memory", DEFAULT_MEMORY)))
    except ValueError:
        return 0


def declared_memory(model: TrainedModel) -> int:
    """Return the bytes that the model declares. Raises `ValueError` with a sentence."""
    return _bytes(model.spec.model.memory)


@lru_cache(maxsize=1024)  # thousands of models declare few sizes
def _bytes(memory: str | int) -> int:
    return parse_memory(memory)


def takes_several_models(service: InferenceService, config: ServingConfig) -> bool:
    """Tell whether the host's server is configured for multi-model serving."""
    if service.spec.predictor.name == "containers":
        env = service.spec.predictor.server.env or ()
        return any(each.name == MULTI_MODEL_ENV and each.value == "true" for each in env)
    known = predictor_config(service, config)
    return known is not None and known.multi_model_server


def why_not_several(service: InferenceService, config: ServingConfig) -> str | None:
    """Return the sentence for a host that takes no TrainedModels, or None when it does."""
    if takes_several_models(service, config):
        return None
    if service.spec.predictor.name == "containers":
        return f"the container of {service.metadata.name} does not have {MULTI_MODEL_ENV}=true in its env"
    name = predictor_name(service)
    if not name:
        return _no_server(service)
    return f"multi-model serving is off for {name}: predictors.{name}.multiModelServer in inferenceservice-config"


def why_not_framework(service: InferenceService, framework: str, config: ServingConfig) -> str | None:
    """Return the sentence for a framework that the host's server does not support, or None when it does."""
    if service.spec.predictor.name == "containers":
        return None
    name = predictor_name(service)
    if not name:
        return _no_server(service)
    known = predictor_config(service, config)
    supported = known.supported_frameworks if known else ()
    if framework in supported:
        return None
    return (
        f"{service.metadata.name} runs {name}, which does not support framework {framework}; "
        f"it supports: {', '.join(supported) or 'none'}"
    )


def _no_server(host: InferenceService) -> str:
    given = given_predictors(host)
    found = f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} given" if given else "none is given"
    if given == ["model"] and host.spec.predictor.model is not None:
        found = f"model is given, of modelFormat {shown(host.spec.predictor.model.model_format.name)}"
    return f"{host.metadata.name} has no model server that takes TrainedModels (spec.predictor: {found})"


def no_room(host: str, limit: int, used: int, by: str, wanted: int) -> str:
    """Return the sentence for a model that does not fit; `by` says who takes what is used."""
    return (
        f"{format_memory(wanted)} do not fit on {host}: {format_memory(used)} of {format_memory(limit)} are taken "
        f"by {by}, {format_memory(max(limit - used, 0))} are free"
    )


def no_shrink(host: str, limit: int, used: int, by: str) -> str:
    """Return the sentence for a limit below what is taken already; `by` says who takes it."""
    return (
        f"{host} cannot go down to {format_memory(limit)} of memory: {format_memory(used)} are taken "
        f"by {by}; delete or move models first"
    )


def in_words(taken: Sequence[Taken], models: int | None = None) -> str:
    """Return how many models take something, and who takes most; say how many when not all of them are told."""
    number = len(taken) if models is None else models
    biggest = heapq.nsmallest(LARGEST_SHOWN, taken, key=lambda each: (-each.memory, each.model))
    names = ", ".join(f"{each.model} {format_memory(each.memory)}" for each in biggest)
    count = "1 model" if number == 1 else f"{number} models"
    return f"{count} (largest: {names})" if names else count
