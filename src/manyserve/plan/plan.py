"""From the picture of one host to everything that is to be done for it: the whole of the operator's mind.

Read `plan` from top to bottom: place the models, say what each child must be, what of it differs, who is to
be told. A plan of a picture in which the plan stands already is empty; that is tested, and it is what keeps
a quiet cluster quiet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from manyserve.api import modelconfig, names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.plan import children, entries
from manyserve.plan.actions import Plan
from manyserve.plan.events import host_event
from manyserve.plan.host_status import host_status
from manyserve.plan.model_config import current_text, write_model_config
from manyserve.plan.model_status import Host, model_status, waiting_status
from manyserve.plan.nudge import nudges
from manyserve.plan.objects import belongs_to
from manyserve.plan.observed import Observed
from manyserve.plan.owners import all_owners, going
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
    service = observed.service
    if observed.unmanaged is not None:
        return unmanaged_plan(observed, observed.unmanaged, now)
    if service is None or service.metadata.deletion_timestamp:
        return _without_host(observed, now)
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
        owners=all_owners(observed, placement.placed.keys()),
        statuses=(*host_write(service, status), *model_writes(models, observed.renewed)),
        events=(*filter(None, (host_event(service, status),)), *model_events(models)),
        look_again_after=min(filter(None, (wait, _SOON if leftovers else None)), default=None),
    )


def _placement(observed: Observed, host: InferenceService, current: Sequence[Entry]) -> Placement:
    if observed.host_problems:
        return keep_placed(host, observed.models, current, observed.unreadable)
    return place(host, observed.models, current, observed.config, observed.unreadable)


def _without_host(observed: Observed, now: datetime) -> Plan:
    """Nothing is made or deleted: the children go with their owner; the models wait, or go with theirs."""
    leaving = observed.service is not None
    gone, wait = going(observed, now)
    staying = (model for model in observed.models if model.metadata.name not in gone)
    models = [(model, waiting_status(model, leaving=leaving, now=now)) for model in staying]
    return Plan(
        owners=all_owners(observed),
        statuses=tuple(model_writes(models, observed.renewed)),
        events=tuple(model_events(models)),
        look_again_after=wait,
    )
