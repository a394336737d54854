"""What each child of a host must be, but for its ConfigMap, and what of that differs.

To build all of them and to compare them field by field is a third of a plan for a hundred models, and mostly nothing
but models changes. So what they depended on when they last stood as they should is remembered: while each part of it
is the very same object, they still do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.actions import Apply, Delete
from manyserve.plan.children.autoscaler import build_autoscaler
from manyserve.plan.children.common import belongs_to, first_difference, with_hash
from manyserve.plan.children.deployment import build_deployment
from manyserve.plan.children.disruption_budget import build_disruption_budget
from manyserve.plan.children.http_route import build_http_route
from manyserve.plan.children.ingress import build_ingress
from manyserve.plan.children.server_container import server_image
from manyserve.plan.children.service import build_service
from manyserve.plan.children.take_over import ROUTING
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.status.predictor_ready import deployment_is_ready
from manyserve.plan.storage.mounts import Sources

MOST = 1000
"""Hosts of which it is remembered."""


@dataclass(frozen=True)
class Children:
    """The Deployment that there will be, and what is to be done for the children."""

    deployment: Manifest | None
    """None while it is refused, pending, or its name is an earlier host's."""
    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """All that children depend on, when none of them was refused."""

    host: InferenceService
    config: ServingConfig
    there: Mapping[Child, Manifest]
    sources: Sources
    pending: bool

    def is_still(self, other: _Seen) -> bool:
        """Tell whether another is made of the same objects: those that are seen do not change, they are replaced."""
        return (
            self.host is other.host
            and self.config is other.config
            and len(self.there) == len(other.there)
            and all(other.there.get(child) is each for child, each in self.there.items())
            and self.sources == other.sources
            and self.pending == other.pending
        )


@dataclass
class ChildrenCache:
    """What the children of hosts depended on when they last stood as they should."""

    most: int = MOST
    _stood: dict[Key, tuple[_Seen, Children]] = field(default_factory=dict)
    """The one that was remembered first is forgotten first."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, host: InferenceService, observed: Observed, sources: Sources) -> Children:
        """Return what the children must be, given what the agents are to have, and what is to be done for that."""
        if observed.failures:
            return children(host, observed, sources)
        there = {child: each for child, each in observed.children.items() if child.kind != "ConfigMap"}
        seen = _Seen(host, observed.config, there, sources, observed.lookups_pending)
        stood = self._stood.get(observed.key)
        if stood is not None and stood[0].is_still(seen):
            return stood[1]
        found = children(host, observed, sources)
        if not (found.applies or found.deletes):
            self._keep(observed.key, seen, found)
        return found

    def _keep(self, key: Key, seen: _Seen, found: Children) -> None:
        with self._lock:  # large hosts are planned in threads
            self._stood[key] = seen, found
            while len(self._stood) > self.most:
                del self._stood[next(iter(self._stood))]


CHILDREN_CACHE = ChildrenCache()


def children(host: InferenceService, observed: Observed, sources: Sources) -> Children:
    """Return what the children must be, worked out afresh; those of a host with an invalid spec stay as they are."""
    if observed.host_problems:
        return Children(None)
    wanted = _wanted(host, observed, sources)
    applies, deletes = _applies(wanted, observed, host), _deletes(wanted, observed, host)
    return Children(_deployment(wanted, observed, host), tuple(applies), tuple(deletes))


def _wanted(host: InferenceService, observed: Observed, sources: Sources) -> tuple[Manifest, ...]:
    """Return every child but the ConfigMap, which is written with a precondition; a pending Deployment is left out."""
    config = observed.config
    current = observed.child("Deployment", names.deployment(observed.key.name))
    runs = server_image(host, config) is not None
    known = not observed.lookups_pending
    found = (
        build_deployment(host, config, current, sources) if runs and known else None,
        build_service(host),
        build_autoscaler(host) if runs else None,
        build_disruption_budget(host),
        build_ingress(host, config),
        build_http_route(host, config),
    )
    return tuple(with_hash(each) for each in found if each is not None)


def _deployment(wanted: Iterable[Manifest], observed: Observed, host: InferenceService) -> Manifest | None:
    there = Child("Deployment", names.deployment(observed.key.name))
    current = observed.children.get(there)
    if there in observed.failures or (current is not None and not belongs_to(current, host)):
        return None  # a revision that was not made would be counted up again and again
    return next((each for each in wanted if each["kind"] == there.kind), None)


def _applies(wanted: Iterable[Manifest], observed: Observed, host: InferenceService) -> Iterable[Apply]:
    ready = deployment_is_ready(host, observed)
    for manifest in wanted:
        current = observed.child(manifest["kind"], manifest["metadata"]["name"])
        because = first_difference(manifest, current)
        if because and (current is None or belongs_to(current, host)):
            yield Apply(manifest, because, take_over=ready or manifest["kind"] not in ROUTING)


def _deletes(wanted: Iterable[Manifest], observed: Observed, host: InferenceService) -> Iterable[Delete]:
    """Yield what we made once and do not want any more; never a Deployment or a ConfigMap, which hold the models."""
    keep = {Child(each["kind"], each["metadata"]["name"]) for each in wanted}
    optional = ("HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress", "HTTPRoute")
    for child, manifest in observed.children.items():
        if child.kind in optional and child not in keep and belongs_to(manifest, host):
            yield Delete(child, manifest["metadata"]["uid"], "it is not wanted any more")
