"""Capacity of a host: multi-model serving, frameworks and memory, each with the sentence of its refusal.

The webhook answers early and the plan decides. Both use the sentences of this module.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping

from manyserve.api.inferenceservice import DEFAULT_PROTOCOLS, OTHER_FRAMEWORKS, PROTOCOLS, InferenceService
from manyserve.api.quantity import format_memory
from manyserve.api.servingconfig import PredictorConfig, ServingConfig
from manyserve.plan.management import MULTI_MODEL_ENV
from manyserve.plan.memory import MemoryShare
from manyserve.plan.rules.fields import quoted

LARGEST_SHOWN = 3
"""Number of models that a sentence about memory names."""
MEMORY_ADVICE = "Lower spec.model.memory, delete a model, or raise the memory limit of the host's server."


def predictor_name(host: InferenceService) -> str:
    """Return the name of the host's server in the configuration: `triton`, `sklearn.v2`, `containers`; or empty."""
    predictor = host.spec.predictor
    if predictor.is_custom or len(PROTOCOLS.get(predictor.name, ())) < 2:
        return predictor.name
    return f"{predictor.name}.{predictor.protocol}"


def given_predictors(host: InferenceService) -> list[str]:
    """Return the fields of `spec.predictor` that hold a server, including servers that the operator does not run."""
    others = [name for name in OTHER_FRAMEWORKS if f"spec.predictor.{name}" in host.unknown_fields]
    return [*host.spec.predictor.given, *others]


def predictor_config(host: InferenceService, config: ServingConfig) -> PredictorConfig | None:
    """Return the configuration of the host's server; an entry without a protocol holds for the default protocol."""
    name, protocol = host.spec.predictor.name, host.spec.predictor.protocol
    plain = config.predictors.get(name) if protocol == DEFAULT_PROTOCOLS.get(name) else None
    return config.predictors.get(f"{name}.{protocol}", plain)


def is_multi_model(host: InferenceService, config: ServingConfig) -> bool:
    """Return whether the host's server is configured for multi-model serving."""
    predictor = host.spec.predictor
    if predictor.is_custom:
        return any(
            variable.name == MULTI_MODEL_ENV and variable.value == "true" for variable in predictor.server.env or ()
        )
    configured = predictor_config(host, config)
    return configured is not None and configured.multi_model_server


def multi_model_error(host: InferenceService, config: ServingConfig) -> str | None:
    """Return the sentence for a host that takes no TrainedModels, or None when it does."""
    if is_multi_model(host, config):
        return None
    if host.spec.predictor.is_custom:
        return f"the container of {host.metadata.name} does not have {MULTI_MODEL_ENV}=true in its env"
    name = predictor_name(host)
    if not name:
        return _no_server(host)
    return f"multi-model serving is off for {name}: predictors.{name}.multiModelServer in inferenceservice-config"


def framework_error(host: InferenceService, framework: str, config: ServingConfig) -> str | None:
    """Return the sentence for a framework that the host's server does not support, or None when it does."""
    if host.spec.predictor.is_custom:
        return None
    name = predictor_name(host)
    if not name:
        return _no_server(host)
    configured = predictor_config(host, config)
    supported = configured.supported_frameworks if configured else ()
    if framework in supported:
        return None
    return (
        f"{host.metadata.name} runs {name}, which does not support framework {framework}; "
        f"it supports: {', '.join(supported) or 'none'}"
    )


def _no_server(host: InferenceService) -> str:
    given = given_predictors(host)
    fields = f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} given" if given else "none is given"
    if given == ["model"] and host.spec.predictor.model is not None:
        fields = f"model is given, of modelFormat {quoted(host.spec.predictor.model.model_format.name)}"
    return f"{host.metadata.name} has no model server that takes TrainedModels (spec.predictor: {fields})"


def insufficient_memory(host: str, limit: int, used: int, consumers: str, wanted: int) -> str:
    """Return the sentence for a model that does not fit; `consumers` comes from `top_consumers`."""
    return (
        f"{format_memory(wanted)} does not fit on {host}: {format_memory(used)} of {format_memory(limit)} is used "
        f"by {consumers}, {format_memory(max(limit - used, 0))} free. {MEMORY_ADVICE}"
    )


def larger_than_a_pod(host: str, limit: int, wanted: int) -> str:
    """Return the sentence for a model that no pod of a heterogeneous host can hold."""
    return (
        f"{format_memory(wanted)} does not fit into a pod of {host}, which has {format_memory(limit)} for models. "
        "Lower spec.model.memory, or raise the memory limit of the host's server."
    )


def no_shard_fits(host: str, limit: int, wanted: int, free: Iterable[int], pods: int, most: int) -> str:
    """Return the sentence for a copy that waits for memory: `free` are the bytes of the pods that may take it."""
    holes = sorted(free, reverse=True)
    shown = ", ".join(map(format_memory, holes[:LARGEST_SHOWN])) or "nothing"
    more = len(holes) - LARGEST_SHOWN
    others = f" and less on {more} more" if more > 0 else ""
    return (
        f"{format_memory(wanted)} does not fit on {host}, which has {pods} of {most} pods with {format_memory(limit)} "
        f"each; free: {shown}{others}. "
        "Lower spec.model.memory, delete a model, or raise spec.predictor.maxReplicas."
    )


def waits_for_unload(host: str, names: Iterable[str]) -> str:
    """Return the sentence for a model that needs memory while the server holds models that are removed."""
    return (
        f"{host} takes no new model, and gives no model more memory, until its model server has unloaded "
        f"{_first_names(names)}"
    )


def not_unloaded_error(sentences: Mapping[str, str]) -> str:
    """Return the sentence for a host with a server that does not unload removed models."""
    first = min(sentences)
    return (
        f"the model server does not unload {_first_names(sentences)}, and no new model is placed until it does: "
        f"{sentences[first]}"
    )


def stuck_server_error(pods: Mapping[str, Collection[str]]) -> str:
    """Return the sentence for a host with a server that loads nothing until it is restarted."""
    first = min(pods)
    more = f"; {len(pods) - 1} more of its pods" if len(pods) > 1 else ""
    return (
        f"{first}: the model server does not finish the loads of {_first_names(pods[first])}, and loads no other model "
        f"until it is restarted: kubectl delete pod {first}{more}"
    )


def _first_names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:LARGEST_SHOWN])
    more = len(ordered) - LARGEST_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def cannot_shrink(host: str, limit: int, used: int, consumers: str) -> str:
    """Return the sentence for a memory limit below the used sum; `consumers` comes from `top_consumers`."""
    return (
        f"{host} cannot go down to {format_memory(limit)} of memory: {format_memory(used)} is used "
        f"by {consumers}; delete or move models first"
    )


def top_consumers(shares: Iterable[MemoryShare], models: int) -> str:
    """Return the number of models and the largest shares in words; `shares` may lack all but the largest ones."""
    largest = heapq.nsmallest(LARGEST_SHOWN, shares, key=lambda share: (-share.memory, share.model))
    names = ", ".join(f"{share.model} {format_memory(share.memory)}" for share in largest)
    count = "1 model" if models == 1 else f"{models} models"
    return f"{count} (largest: {names})" if names else count
