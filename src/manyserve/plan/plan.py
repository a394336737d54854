"""Compute the plan of one host from a snapshot: children, `models.json`, statuses and events.

`plan` reads from top to bottom: place the models, build the desired children, compare them with the observed ones,
compute the statuses. A plan of a snapshot with the desired state is empty. Tests prove that, and an idle cluster
depends on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from manyserve.api import modelconfig
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan import model_config_cache
from manyserve.plan.actions import Apply, ConfigRefresh, Plan, Priority, WriteConfig
from manyserve.plan.children import cache as children_cache
from manyserve.plan.children.common import belongs_to
from manyserve.plan.children.routers import pods_config_apply, pods_json
from manyserve.plan.config_refresh import config_refreshes
from manyserve.plan.departure import DepartingModels, owner_reference_updates, plan_departures
from manyserve.plan.model_config import is_stale, planned_from, write_model_config
from manyserve.plan.observed import Observed
from manyserve.plan.placement import Placement, Sizing, keep_placed, place
from manyserve.plan.sharding.observed import StoredShard, empty_shard, stored_shards
from manyserve.plan.sharding.resize import Resize, copies_by_scaling, resize
from manyserve.plan.sharding.shard import Shard
from manyserve.plan.staging import waits
from manyserve.plan.status.cache import STATUS_CACHE
from manyserve.plan.status.context import HostContext
from manyserve.plan.status.events import host_event, model_events
from manyserve.plan.status.host import host_status
from manyserve.plan.status.led import led_models
from manyserve.plan.status.model import waiting_status
from manyserve.plan.status.scaling_events import copies_events, replicas_events, shards_events
from manyserve.plan.status.shards import with_shards
from manyserve.plan.status.slow_pod import seconds_until_slow
from manyserve.plan.status.updates import host_update, model_updates
from manyserve.plan.storage.claims import blocked_claims
from manyserve.plan.storage.mounts import sources_of
from manyserve.plan.unmanaged import unmanaged_plan

_SOON = 1.0
"""Seconds until the next plan while stale state remains: a child of an earlier host of this name, or a stale cache."""


def plan(observed: Observed, now: datetime) -> Plan:
    """Return the actions for the host now; an empty plan when the observed state is the desired one."""
    if observed.unmanaged is not None:
        return unmanaged_plan(observed, observed.unmanaged, now)
    host, departing = observed.host, plan_departures(observed)
    if host is None or host.metadata.deletion_timestamp:
        return _without_host(observed, departing, now)
    if departing.leaving:
        observed = replace(observed, models=tuple(_without(observed.models, departing.leaving)))
    stored = stored_shards(host, observed)
    if any(_is_stale(each, host, observed) for each in stored.values()):
        return Plan(requeue_after=_SOON)
    resized = resize(host, observed, stored, now)
    placement = _placement(observed, host, {index: each.shard for index, each in stored.items()}, resized)
    shards = _shard_set(placement, resized, stored)
    children = children_cache.CHILDREN_CACHE.of(host, observed, sources_of(observed, placement), shards, now)
    status = host_status(host, observed, placement, children, now)
    kept = {index: placement.shards[index] for index in shards.kept}
    configs, refreshes, wait = _configs(host, observed, kept, stored, resized, now)
    pods_config, of_routers, router_wait = _pods_config(host, observed, now)
    led = led_models(host, observed)
    context = HostContext(host, observed, placement, observed.replicas, status.conditions, led)
    models = STATUS_CACHE.statuses(context, now)
    status = with_shards(status, context, shards.kept, models)
    scaling = (
        *shards_events(host, status),
        *copies_events(host, models, observed.scaling.decisions),
        *replicas_events(host, children.applies, observed),
    )
    leftovers = [child for child in observed.children.values() if not belongs_to(child, host)]
    return Plan(
        applies=(*children.applies, *pods_config),
        deletes=children.deletes,
        configs=configs,
        config_refreshes=(*refreshes, *of_routers),
        owner_references=owner_reference_updates(observed.models),
        departures=departing.actions,
        statuses=(*host_update(host, status), *model_updates(models, now)),
        events=(*filter(None, (host_event(host, status),)), *model_events(models), *scaling),
        turn=children.turn,
        requeue_after=_soonest(
            observed.rollouts.seconds_left(now, observed.config.rollout) if waits(children.turn) else None,
            wait,
            router_wait,
            resized.wait(now),
            _SOON if leftovers else None,
            departing.requeue_after,
            seconds_until_slow((*observed.pods, *observed.router_pods), now),
        ),
    )


def _is_stale(stored: StoredShard, host: InferenceService, observed: Observed) -> bool:
    config_map = stored.config_map
    return config_map is not None and not stored.is_foreign(host) and is_stale(observed.cache_versions, config_map)


def _shard_set(placement: Placement, resized: Resize, stored: Mapping[int, StoredShard]) -> children_cache.ShardSet:
    removed = resized.removed(placement, stored)
    return children_cache.ShardSet(tuple(sorted(placement.shards.keys() - removed)), tuple(sorted(removed)))


def _placement(observed: Observed, host: InferenceService, shards: Mapping[int, Shard], resized: Resize) -> Placement:
    if observed.host_problems:
        return keep_placed(host, observed.models, shards, observed.unparsable)
    blocked, sizing = blocked_claims(observed), Sizing(copies_by_scaling(host, observed), resized.draining)
    return place(host, observed.models, shards, observed.config, observed.unparsable, blocked, sizing)


def _configs(
    host: InferenceService,
    observed: Observed,
    shards: Mapping[int, Mapping[str, Entry]],
    stored: Mapping[int, StoredShard],
    resized: Resize,
    now: datetime,
) -> tuple[tuple[WriteConfig, ...], tuple[ConfigRefresh, ...], float | None]:
    """Return the writes of `models.json`, the pods to patch for them, and the seconds until the next patch."""
    writes: list[WriteConfig | None] = []
    refreshes: list[ConfigRefresh] = []
    waits: list[float | None] = []
    annotations = planned_from(observed.cache_versions)
    for index, entries in shards.items():
        before = stored.get(index) or empty_shard(index)
        if observed.host_problems and before.config_map is None:
            continue  # an invalid host gets no `models.json`, and keeps the one that it has
        text = model_config_cache.MODEL_CONFIG_CACHE.text(entries, before.text)
        writes.append(write_model_config(host, index, text, before.config_map, annotations | resized.note(index)))
        replicas = () if before.is_foreign(host) else before.replicas
        due, wait = config_refreshes(replicas, modelconfig.content_hash(text), now)
        refreshes += due
        waits.append(wait)
    return tuple(filter(None, writes)), tuple(refreshes), _soonest(*waits)


def _pods_config(
    host: InferenceService, observed: Observed, now: datetime
) -> tuple[tuple[Apply, ...], tuple[ConfigRefresh, ...], float | None]:
    """Return the write of `pods.json`, the routers to patch for it, and the seconds until the next patch."""
    if not host.spec.predictor.is_heterogeneous:
        return (), (), None
    text = pods_json(observed.pods)
    write = pods_config_apply(host, observed, text)
    refreshes, wait = config_refreshes(observed.routers, modelconfig.content_hash(text), now)
    return tuple(filter(None, (write,))), refreshes, wait


def forget(host: Key) -> None:
    """Drop a host that is gone, or not reconciled any more, from the caches of plans."""
    STATUS_CACHE.drop(host)
    children_cache.CHILDREN_CACHE.drop(host)


def _without_host(observed: Observed, departing: DepartingModels, now: datetime) -> Plan:
    """Return the plan for the models of a missing host. Kubernetes deletes the children with their owner."""
    forget(observed.key)
    leaving, kept = observed.host is not None, departing.kept
    models = [
        (model, waiting_status(model, leaving=leaving, kept=model.metadata.name in kept, now=now))
        for model in _without(observed.models, departing.without_status)
    ]
    waiting = [(model, status) for model, status in models if model.metadata.name not in departing.leaving]
    leaving_soon = [(model, status) for model, status in models if model.metadata.name in departing.leaving]
    return Plan(
        owner_references=() if leaving else owner_reference_updates(_without(observed.models, departing.leaving)),
        departures=departing.actions,
        statuses=(
            *model_updates(waiting, now),
            *(replace(each, priority=Priority.TRANSIENT) for each in model_updates(leaving_soon, now)),
        ),
        events=tuple(model_events(waiting)),
        requeue_after=departing.requeue_after,
    )


def _without(models: Iterable[TrainedModel], names: Collection[str]) -> Iterator[TrainedModel]:
    return (each for each in models if each.metadata.name not in names)


def _soonest(*waits: float | None) -> float | None:
    return min(filter(None, waits), default=None)
