"""Cache of the statuses of settled models: their inputs, once the computed status was the stored one.

Statuses take half of a plan for thousands of models, and a plan in a burst changes a tenth of them. A stored status is
valid while the model, its entry, its agents' reports and all that the host's models share are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.host_cache import HostCache
from manyserve.plan.pods import Replica
from manyserve.plan.status.context import HostContext
from manyserve.plan.status.model import model_status
from manyserve.plan.storage.claims import claims_of_deployment

_Inputs = tuple[object, ...]


@dataclass(frozen=True)
class _Settled:
    """The inputs of a host's statuses: those that its models share, and by name those of each settled model."""

    shared: _Inputs
    models: Mapping[str, _Inputs]


class StatusCache(HostCache[_Settled]):
    """Cache of settled models by the host's key."""

    def statuses(self, context: HostContext, now: datetime) -> list[tuple[TrainedModel, TrainedModelStatus]]:
        """Return each model of a host with its status; it is the stored object when nothing changed."""
        key, shared = context.observed.key, _shared(context)
        before = self.get(key)
        known = before.models if before is not None and before.shared == shared else {}
        settled: dict[str, _Inputs] = {}
        statuses: list[tuple[TrainedModel, TrainedModelStatus]] = []
        for model, inputs in _of_models(context):
            name = model.metadata.name
            status = model.status if known.get(name) == inputs else model_status(model, context, now)
            statuses.append((model, status))
            if status is model.status:
                settled[name] = inputs
        self.put(key, _Settled(shared, settled))
        return statuses


STATUS_CACHE = StatusCache()


def _shared(context: HostContext) -> _Inputs:
    """Return the inputs that the statuses of a host's models share."""
    host, observed = context.host, context.observed
    replicas = [] if context.is_heterogeneous else _facts(context.replicas)
    claims = (dict(observed.claims), dict(observed.refused_claims), observed.unverified_claims)
    mounted = claims_of_deployment(observed)
    of_host = (host.metadata.name, host.metadata.uid, host.spec, observed.host_problems, observed.config)
    return (*of_host, context.is_multi_model, context.is_ready, context.url_parts, replicas, *claims, mounted)


def _facts(replicas: Iterable[Replica]) -> list[_Inputs]:
    """Return the facts about replicas that are not about one model."""
    return [
        (each.name, each.ready, each.claims, each.report and (each.report.server_ready, each.report.config_error))
        for each in replicas
    ]


def _of_models(context: HostContext) -> Iterator[tuple[TrainedModel, _Inputs]]:
    """Yield each model with its inputs: the model, its entries, the sentence about its placement, and its reports."""
    placement = context.placement
    sentences = {**placement.invalid, **placement.insufficient_memory, **placement.left_out}
    sentences |= placement.waiting_for_unload
    inputs_of = _of_copies(context) if context.is_heterogeneous else _of_replicas(context)
    for model in context.observed.models:
        name = model.metadata.name
        yield model, (model, sentences.get(name), *inputs_of(name))


def _of_replicas(context: HostContext) -> Callable[[str], _Inputs]:
    """Return the function from model to its entry and its reports on all replicas."""
    reports = [replica.report.models if replica.report else {} for replica in context.replicas]
    placed = context.placement.placed
    return lambda name: (placed.get(name), *[models.get(name) for models in reports])


def _of_copies(context: HostContext) -> Callable[[str], _Inputs]:
    """Return the function from model to its copies: numbers, entries, shards, and its reports on these only."""
    placement, led = context.placement, context.led
    shards = {
        index: (_facts(each), [replica.report.models if replica.report else {} for replica in each])
        for index, each in context.by_shard.items()
    }

    def inputs(name: str) -> _Inputs:
        entries = placement.entries.get(name, {})
        found = [shards[index] for index in entries if index in shards]
        reports = [models.get(name) for _, each in found for models in each]
        numbers = (placement.copies.get(name), placement.waiting_copies.get(name), led is None or name in led)
        return (*numbers, entries, [facts for facts, _ in found], reports)

    return inputs
