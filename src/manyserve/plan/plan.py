"""From the picture of one host to everything that is to be done for it: the whole of the operator's mind.

Read `plan` from top to bottom: place the models, say what each child must be, what of it differs, who is to
be told. A plan of a picture in which the plan stands already is empty; that is tested, and it is what keeps
a quiet cluster quiet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from manyserve.api import modelconfig, names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan import model_config_cache
from manyserve.plan.actions import Plan, Priority
from manyserve.plan.children import cache as children_cache
from manyserve.plan.children.common import belongs_to
from manyserve.plan.config_refresh import config_refreshes
from manyserve.plan.departure import Departing, depart
from manyserve.plan.model_config import current_text, write_model_config
from manyserve.plan.observed import Observed
from manyserve.plan.owner_references import owner_reference_updates
from manyserve.plan.placement import Placement, keep_placed, place
from manyserve.plan.pods import replicas_of
from manyserve.plan.staleness import is_stale, planned_from
from manyserve.plan.status.events import host_event, model_events
from manyserve.plan.status.host import host_status
from manyserve.plan.status.model import HostContext, model_status, waiting_status
from manyserve.plan.status.updates import host_update, model_updates
from manyserve.plan.storage.mounts import sources_of
from manyserve.plan.unmanaged import unmanaged_plan

_SOON = 1.0
"""Seconds until another look at what is of earlier times: a child of another host of the same name, or the picture."""


def plan(observed: Observed, now: datetime) -> Plan:
    """Return what is to be done for the host now; nothing when everything stands as it should."""
    if observed.unmanaged is not None:
        return unmanaged_plan(observed, observed.unmanaged, now)
    service, departing = observed.host, depart(observed)
    if service is None or service.metadata.deletion_timestamp:
        return _without_host(observed, departing, now)
    if departing.leaving:
        observed = replace(observed, models=tuple(_without(observed.models, departing.leaving)))
    config_map = observed.child("ConfigMap", names.model_config(observed.key.name))
    ours = config_map is None or belongs_to(config_map, service)
    if config_map is not None and ours and is_stale(observed.cache_versions, config_map):
        return Plan(requeue_after=_SOON)
    current = current_text(service, config_map)
    placement = _placement(observed, service, model_config_cache.MODEL_CONFIG_CACHE.entries(current))
    made = children_cache.CHILDREN_CACHE.of(service, observed, sources_of(observed, placement))
    status = host_status(service, observed, placement, made.deployment, now)
    replicas = replicas_of(observed)
    text = model_config_cache.MODEL_CONFIG_CACHE.text(placement.placed, current)
    none_wanted = bool(observed.host_problems) and config_map is None
    touched, wait = config_refreshes(replicas if ours and not none_wanted else (), modelconfig.content_hash(text), now)
    host = HostContext(service, observed, placement, replicas, status.conditions)
    models = [(model, model_status(model, host, now)) for model in observed.models]
    leftovers = [each for each in observed.children.values() if not belongs_to(each, service)]
    return Plan(
        applies=made.applies,
        deletes=made.deletes,
        config=None
        if none_wanted
        else write_model_config(service, placement.shard, text, config_map, planned_from(observed.cache_versions)),
        config_refreshes=touched,
        owner_references=owner_reference_updates(observed.models),
        departures=departing.actions,
        statuses=(*host_update(service, status), *model_updates(models, now)),
        events=(*filter(None, (host_event(service, status),)), *model_events(models)),
        requeue_after=_soonest(wait, _SOON if leftovers else None, departing.wait),
    )


def _placement(observed: Observed, host: InferenceService, current: Sequence[Entry]) -> Placement:
    if observed.host_problems:
        return keep_placed(host, observed.models, current, observed.unparsable)
    return place(host, observed.models, current, observed.config, observed.unparsable)


def _without_host(observed: Observed, departing: Departing, now: datetime) -> Plan:
    """No child is made or deleted: Kubernetes deletes them with their owner. The models wait, or are deleted."""
    leaving, kept = observed.host is not None, departing.kept
    models = [
        (model, waiting_status(model, leaving=leaving, kept=model.metadata.name in kept, now=now))
        for model in _without(observed.models, departing.silent)
    ]
    waiting = [each for each in models if each[0].metadata.name not in departing.leaving]
    leaving_soon = [each for each in models if each[0].metadata.name in departing.leaving]
    return Plan(
        owner_references=() if leaving else owner_reference_updates(_without(observed.models, departing.leaving)),
        departures=departing.actions,
        statuses=(
            *model_updates(waiting, now),
            *(replace(each, priority=Priority.TRANSIENT) for each in model_updates(leaving_soon, now)),
        ),
        events=tuple(model_events(waiting)),
        requeue_after=departing.wait,
    )


def _without(models: Iterable[TrainedModel], names: Collection[str]) -> Iterator[TrainedModel]:
    return (each for each in models if each.metadata.name not in names)


def _soonest(*waits: float | None) -> float | None:
    return min(filter(None, waits), default=None)
