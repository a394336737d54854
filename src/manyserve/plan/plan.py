"""From the picture of one host to everything that is to be done for it: the whole of the operator's mind.

Read `plan` from top to bottom: place the models, say what each child must be, what of it differs, who is to
be told. A plan of a picture in which the plan stands already is empty; that is tested, and it is what keeps
a quiet cluster quiet.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from manyserve.api import modelconfig, names
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.actions import Apply, Delete, Plan
from manyserve.plan.autoscaler import build_autoscaler
from manyserve.plan.deployment import build_deployment
from manyserve.plan.disruption_budget import build_disruption_budget
from manyserve.plan.entries import MEMORY
from manyserve.plan.events import host_event
from manyserve.plan.host_status import host_status
from manyserve.plan.http_route import build_http_route
from manyserve.plan.ingress import build_ingress
from manyserve.plan.model_config import current_text, write_model_config
from manyserve.plan.model_status import Host, model_status, waiting_status
from manyserve.plan.nudge import nudges
from manyserve.plan.objects import belongs_to, stamped, why_apply
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.owners import all_owners, going
from manyserve.plan.placement import Placement, place
from manyserve.plan.pods import replicas_of
from manyserve.plan.server_container import server_image
from manyserve.plan.service import build_service
from manyserve.plan.sight import is_older, note
from manyserve.plan.sources import sources_of
from manyserve.plan.telling import host_write, model_events, model_writes
from manyserve.plan.validation import service_problems

_SOON = 1.0
"""Seconds until another look at what is of earlier times: a child of another host of the same name, or the picture."""


def plan(observed: Observed, now: datetime) -> Plan:
    """Return what is to be done for the host now; nothing when everything stands as it should."""
    service = observed.service
    if service is None or service.metadata.deletion_timestamp:
        return _without_host(observed, now)
    config_map = observed.child("ConfigMap", names.model_config(observed.key.name))
    ours = config_map is None or belongs_to(config_map, service)
    if config_map is not None and ours and is_older(observed.sight, config_map):
        return Plan(look_again_after=_SOON)
    current = current_text(service, config_map)
    placement = place(service, observed.models, MEMORY.entries(current), observed.config, observed.unreadable)
    wanted = _wanted(service, observed, placement)
    status = host_status(service, observed, placement, _deployment(wanted, observed, service), now)
    replicas = replicas_of(observed)
    text = MEMORY.text(placement.placed, current)
    touched, wait = nudges(replicas if ours else (), modelconfig.content_hash(text), now)
    host = Host(service, observed, placement, replicas, status.conditions)
    models = [(model, model_status(model, host, now)) for model in observed.models]
    leftovers = [each for each in observed.children.values() if not belongs_to(each, service)]
    return Plan(
        applies=tuple(_applies(wanted, observed, service)),
        deletes=tuple(_deletes(wanted, observed, service)),
        config=write_model_config(service, placement.shard, text, config_map, note(observed.sight)),
        nudges=touched,
        owners=all_owners(observed, placement.placed.keys()),
        statuses=(*host_write(service, status), *model_writes(models, observed.renewed)),
        events=(*filter(None, (host_event(service, status),)), *model_events(models)),
        look_again_after=min(filter(None, (wait, _SOON if leftovers else None)), default=None),
    )


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


def _wanted(service: InferenceService, observed: Observed, placement: Placement) -> tuple[Manifest, ...]:
    """Return every child but the ConfigMap, which is written with a precondition; a pending Deployment is left out."""
    config = observed.config
    current = observed.child("Deployment", names.deployment(observed.key.name))
    runs = server_image(service, config) is not None and not service_problems(service)
    known = not observed.pending
    found = (
        build_deployment(service, config, current, sources_of(observed, placement)) if runs and known else None,
        build_service(service),
        build_autoscaler(service) if runs else None,
        build_disruption_budget(service),
        build_ingress(service, config),
        build_http_route(service, config),
    )
    return tuple(stamped(each) for each in found if each is not None)


def _deployment(wanted: Iterable[Manifest], observed: Observed, service: InferenceService) -> Manifest | None:
    """Return the Deployment that there will be: none while it is refused, or its name is an earlier host's."""
    there = Child("Deployment", names.deployment(observed.key.name))
    current = observed.children.get(there)
    if there in observed.failures or (current is not None and not belongs_to(current, service)):
        return None  # a revision that was not made would be counted up again and again
    return next((each for each in wanted if each["kind"] == there.kind), None)


def _applies(wanted: Iterable[Manifest], observed: Observed, service: InferenceService) -> Iterable[Apply]:
    for manifest in wanted:
        current = observed.child(manifest["kind"], manifest["metadata"]["name"])
        because = why_apply(manifest, current)
        if because and (current is None or belongs_to(current, service)):
            yield Apply(manifest, because)


def _deletes(wanted: Iterable[Manifest], observed: Observed, service: InferenceService) -> Iterable[Delete]:
    """Yield what we made once and do not want any more; never a Deployment or a ConfigMap, which hold the models."""
    keep = {Child(each["kind"], each["metadata"]["name"]) for each in wanted}
    optional = ("HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress", "HTTPRoute")
    for child, manifest in observed.children.items():
        if child.kind in optional and child not in keep and belongs_to(manifest, service):
            yield Delete(child, manifest["metadata"]["uid"], "it is not wanted any more")
