"""Cache of the desired children of hosts, and the computation behind it. The ConfigMap is not among them.

Most plans change models only, and without the cache the children take a third of a plan for a hundred models. The cache
holds the inputs of a host's children once nothing differed. The result is valid while each input is the same object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.actions import Apply, Delete
from manyserve.plan.children.common import belongs_to, first_difference, with_hash
from manyserve.plan.children.deployment import build_autoscaler, build_deployment, build_disruption_budget
from manyserve.plan.children.replicas import becomes_fixed
from manyserve.plan.children.routing import ROUTING, build_http_route, build_ingress, build_service
from manyserve.plan.children.server_container import server_image
from manyserve.plan.host_cache import HostCache
from manyserve.plan.host_metadata import with_host_metadata
from manyserve.plan.hostname import hostname_problem
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.status.predictor_ready import deployment_is_ready
from manyserve.plan.storage.mounts import Sources


@dataclass(frozen=True)
class Children:
    """The desired Deployment, and the writes that bring the children to their desired state."""

    deployment: Manifest | None
    """None while it is refused, pending, or an earlier host has its name."""
    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()


@dataclass(frozen=True)
class _Inputs:
    """All inputs of a host's children while none of their writes was refused."""

    host: InferenceService
    config: ServingConfig
    observed: Mapping[Child, Manifest]
    sources: Sources
    pending: bool
    is_exposed: bool
    autoscalers: tuple[str, ...]

    def is_same(self, other: _Inputs) -> bool:
        """Return whether both consist of the same objects; an observed object is replaced, never changed."""
        return (
            self.host is other.host
            and self.config is other.config
            and len(self.observed) == len(other.observed)
            and all(other.observed.get(child) is manifest for child, manifest in self.observed.items())
            and self.sources == other.sources
            and (self.pending, self.is_exposed, self.autoscalers)
            == (other.pending, other.is_exposed, other.autoscalers)
        )


class ChildrenCache(HostCache[tuple[_Inputs, Children]]):
    """Cache of the children of hosts that need no write, by the host's key."""

    def of(self, host: InferenceService, observed: Observed, sources: Sources) -> Children:
        """Return the children of a host, from the cache if their inputs are the same."""
        if observed.failures:
            return children(host, observed, sources)
        manifests = {child: each for child, each in observed.children.items() if child.kind != "ConfigMap"}
        is_exposed = hostname_problem(observed) is None
        pending, autoscalers = observed.lookups_pending, observed.autoscalers
        inputs = _Inputs(host, observed.config, manifests, sources, pending, is_exposed, autoscalers)
        entry = self.get(observed.key)
        if entry is not None and entry[0].is_same(inputs):
            return entry[1]
        computed = children(host, observed, sources)
        if not (computed.applies or computed.deletes):
            self.put(observed.key, (inputs, computed))
        return computed


CHILDREN_CACHE = ChildrenCache()


def children(host: InferenceService, observed: Observed, sources: Sources) -> Children:
    """Compute the children without the cache; those of a host with an invalid spec stay as they are."""
    if observed.host_problems:
        return Children(None)
    desired = _desired(host, observed, sources)
    applies, deletes = _applies(desired, observed, host), _deletes(desired, observed, host)
    return Children(_deployment(desired, observed, host), tuple(applies), tuple(deletes))


def _desired(host: InferenceService, observed: Observed, sources: Sources) -> tuple[Manifest, ...]:
    """Return all children but the ConfigMap, which is written with a precondition; a pending Deployment is left out."""
    config = observed.config
    current = observed.child("Deployment", names.deployment(observed.key.name))
    has_image, is_exposed = server_image(host, config) is not None, hostname_problem(observed) is None
    manifests = (
        build_deployment(host, config, current, sources, observed.autoscalers)
        if has_image and not observed.lookups_pending
        else None,
        build_service(host),
        build_autoscaler(host, observed.autoscalers) if has_image else None,
        build_disruption_budget(host),
        build_ingress(host, config) if is_exposed else None,
        build_http_route(host, config) if is_exposed else None,
    )
    given = (each for each in manifests if each is not None)
    return tuple(with_hash(each | {"metadata": with_host_metadata(each["metadata"], host)}) for each in given)


def _deployment(desired: Iterable[Manifest], observed: Observed, host: InferenceService) -> Manifest | None:
    child = Child("Deployment", names.deployment(observed.key.name))
    current = observed.children.get(child)
    if child in observed.failures or (current is not None and not belongs_to(current, host)):
        return None  # else each attempt would count the revision up, though no Deployment has it
    return next((each for each in desired if each["kind"] == child.kind), None)


def _applies(desired: Iterable[Manifest], observed: Observed, host: InferenceService) -> Iterable[Apply]:
    ready = deployment_is_ready(host, observed)
    for manifest in desired:
        current = observed.child(manifest["kind"], manifest["metadata"]["name"])
        reason = first_difference(manifest, current)
        if reason and (current is None or belongs_to(current, host)):
            take_over = ready or manifest["kind"] not in ROUTING
            yield Apply(manifest, reason, take_over=take_over, resource_version=_precondition(manifest, current))


def _precondition(manifest: Manifest, current: Manifest | None) -> str | None:
    """Return the resourceVersion of a Deployment with replicas that another owner has set until now."""
    if manifest["kind"] != "Deployment" or current is None or not becomes_fixed(manifest, current):
        return None
    return str(current["metadata"]["resourceVersion"])


def _deletes(desired: Iterable[Manifest], observed: Observed, host: InferenceService) -> Iterable[Delete]:
    """Yield the deletion of optional children that are no longer desired.

    A Deployment or a ConfigMap is never deleted, since they hold the models.
    """
    keep = {Child(each["kind"], each["metadata"]["name"]) for each in desired}
    optional = ("HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress", "HTTPRoute")
    for child, manifest in observed.children.items():
        if child.kind in optional and child not in keep and belongs_to(manifest, host):
            yield Delete(child, manifest["metadata"]["uid"], "no longer desired")
