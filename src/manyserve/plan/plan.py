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
from manyserve.plan import children, entries
from manyserve.plan.actions import Plan
from manyserve.plan.departure import Departing, depart
from manyserve.plan.events import host_event
from manyserve.plan.host_status import host_status
from manyserve.plan.model_config import current_text, write_model_config
from manyserve.plan.model_status import Host, model_status, waiting_status
from manyserve.plan.nudge import nudges
from manyserve.plan.objects import belongs_to
from manyserve.plan.observed import Observed
from manyserve.plan.owners import removed_owners
from manyserve.plan.placement import Placement, keep_placed, place
from manyserve.plan.pods import replicas_of
from manyserve.plan.sight import is_older, note
from manyserve.plan.sources import sources_of
from manyserve.plan.telling import host_write, model_events, model_writes
from manyserve.plan.unmanaged import unmanaged_plan

_SOON = 1.0
"""Seconds until another look at what is of earlier times: a child of another host of the same name, or the picture."""


def plan(observed: Observed, now: datetime) -> Plan:
    """Return what is to be done for the host now; nothing when everything stands as it should."""
    if observed.unmanaged is not None:
        return unmanaged_plan(observed, observed.unmanaged, now)
    service, departing = observed.service, depart(observed)
    if service is None or service.metadata.deletion_timestamp:
        return _without_host(observed, departing, now)
    if departing.leaving:
        observed = replace(observed, models=tuple(_without(observed.models, departing.leaving)))
    config_map = observed.child("ConfigMap", names.model_config(observed.key.name))
    ours = config_map is None or belongs_to(config_map, service)
    if config_map is not None and ours and is_older(observed.sight, config_map):
        return Plan(look_again_after=_SOON)
    current = current_text(service, config_map)
    placement = _placement(observed, service, entries.MEMORY.entries(current))
    made = children.MEMORY.of(service, observed, sources_of(observed, placement))
    status = host_status(service, observed, placement, made.deployment, now)
    replicas = replicas_of(observed)
    text = entries.MEMORY.text(placement.placed, current)
    none_wanted = bool(observed.host_problems) and config_map is None
    touched, wait = nudges(replicas if ours and not none_wanted else (), modelconfig.content_hash(text), now)
    host = Host(service, observed, placement, replicas, status.conditions)
    models = [(model, model_status(model, host, now)) for model in observed.models]
    leftovers = [each for each in observed.children.values() if not belongs_to(each, service)]
    return Plan(
        applies=made.applies,
        deletes=made.deletes,
        config=None
        if none_wanted
        else write_model_config(service, placement.shard, text, config_map, note(observed.sight)),
        nudges=touched,
        owners=removed_owners(observed.models),
        departures=departing.actions,
        statuses=(*host_write(service, status), *model_writes(models, observed.renewed)),
        events=(*filter(None, (host_event(service, status),)), *model_events(models)),
        look_again_after=_soonest(wait, _SOON if leftovers else None, departing.wait),
    )


def _placement(observed: Observed, host: InferenceService, current: Sequence[Entry]) -> Placement:
    if observed.host_problems:
        return keep_placed(host, observed.models, current, observed.unreadable)
    return place(host, observed.models, current, observed.config, observed.unreadable)


def _without_host(observed: Observed, departing: Departing, now: datetime) -> Plan:
    """No child is made or deleted: Kubernetes deletes them with their owner. The models wait, or are deleted."""
    leaving, kept = observed.service is not None, departing.kept
    models = [
        (model, waiting_status(model, leaving=leaving, kept=model.metadata.name in kept, now=now))
        for model in _without(observed.models, departing.silent)
    ]
    waiting = [each for each in models if each[0].metadata.name not in departing.leaving]
    return Plan(
        owners=() if leaving else removed_owners(_without(observed.models, departing.leaving)),
        departures=departing.actions,
        statuses=tuple(model_writes(models, observed.renewed)),
        events=tuple(model_events(waiting)),
        look_again_after=departing.wait,
    )


def _without(models: Iterable[TrainedModel], names: Collection[str]) -> Iterator[TrainedModel]:
    return (each for each in models if each.metadata.name not in names)


def _soonest(*waits: float | None) -> float | None:
    return min(filter(None, waits), default=None)
