"""Cache of the desired children of hosts, and the computation behind it. The ConfigMap is not among them.

Most plans change models only, and without the cache the children take a third of a plan for a hundred models. The cache
holds the inputs of a host's children once nothing differed. The result is valid while each input is the same object.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.actions import Apply, Delete
from manyserve.plan.children.common import belongs_to, first_difference, with_hash
from manyserve.plan.children.deployment import build_autoscaler, build_deployment, build_disruption_budget
from manyserve.plan.children.network_policy import build_network_policies
from manyserve.plan.children.replicas import becomes_owned
from manyserve.plan.children.routers import (
    build_router_budget,
    build_router_deployment,
    lacks_router_image,
    routers_answer,
)
from manyserve.plan.children.routing import ROUTING, build_http_route, build_ingress, build_service
from manyserve.plan.children.server_container import server_image
from manyserve.plan.children.shards import build_budget_of_shards, build_shards, held_back, observed_deployments
from manyserve.plan.children.staged import Staging, staging_of
from manyserve.plan.host_cache import HostCache
from manyserve.plan.host_metadata import with_host_metadata
from manyserve.plan.hostname import hostname_problem
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.staging import Turn
from manyserve.plan.status.predictor_ready import deployment_is_ready
from manyserve.plan.storage.mounts import Sources


@dataclass(frozen=True)
class Children:
    """The desired Deployment, and the writes that bring the children to their desired state."""

    deployment: Manifest | None
    """None while it is refused, pending, or an earlier host has its name."""
    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    turn: Turn | None = None
    """None unless the operator's own version or configuration changes the template of the host's pods."""


class ShardSet(NamedTuple):
    """Indices of the shards that a host keeps, and of those that are removed."""

    kept: tuple[int, ...] = (0,)
    removed: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Inputs:
    """All inputs of a host's children while none of their writes was refused."""

    host: InferenceService
    config: ServingConfig
    observed: Mapping[Child, Manifest]
    sources: Sources
    shards: ShardSet
    pending: bool
    is_exposed: bool
    autoscalers: tuple[str, ...]
    replicas: int | None

    def is_same(self, other: _Inputs) -> bool:
        """Return whether both consist of the same objects; an observed object is replaced, never changed."""
        return (
            self.host is other.host
            and self.config is other.config
            and len(self.observed) == len(other.observed)
            and all(other.observed.get(child) is manifest for child, manifest in self.observed.items())
            and self.sources == other.sources
            and self.shards == other.shards
            and (self.pending, self.is_exposed, self.autoscalers, self.replicas)
            == (other.pending, other.is_exposed, other.autoscalers, other.replicas)
        )


class ChildrenCache(HostCache[tuple[_Inputs, Children]]):
    """Cache of the children of hosts that need no write, by the host's key."""

    def of(
        self, host: InferenceService, observed: Observed, sources: Sources, shards: ShardSet, now: datetime
    ) -> Children:
        """Return the children of a host, from the cache if their inputs are the same."""
        if observed.failures:
            return children(host, observed, sources, shards, now)
        manifests = {child: each for child, each in observed.children.items() if child.kind != "ConfigMap"}
        is_exposed = hostname_problem(observed) is None
        inputs = _Inputs(
            host,
            observed.config,
            manifests,
            sources,
            shards,
            observed.lookups_pending,
            is_exposed,
            observed.autoscalers,
            observed.decided_replicas,
        )
        entry = self.get(observed.key)
        if entry is not None and entry[0].is_same(inputs):
            return entry[1]
        computed = children(host, observed, sources, shards, now)
        if not (computed.applies or computed.deletes or computed.turn):
            self.put(observed.key, (inputs, computed))
        return computed


CHILDREN_CACHE = ChildrenCache()


def _of_drained(observed: Observed, host: InferenceService, index: int) -> Iterator[Delete]:
    """Yield the deletion of a shard's Deployment, or of its ConfigMap when the Deployment is gone."""
    name = observed.key.name
    deployment, config = names.shard_deployment(name, index), names.model_config(name, index)
    for child in (Child("Deployment", deployment), Child("ConfigMap", config)):
        manifest = observed.children.get(child)
        if manifest is not None and belongs_to(manifest, host):
            yield Delete(child, manifest["metadata"]["uid"], "the shard is drained")
            return


def children(host: InferenceService, observed: Observed, sources: Sources, shards: ShardSet, now: datetime) -> Children:
    """Compute the children without the cache; those of a host with an invalid spec stay as they are."""
    if observed.host_problems:
        return Children(None)
    newest = _newest(host, observed, sources, shards)
    staging = staging_of(host, observed, sources, newest, now)
    desired = tuple(staging.recorded(with_hash(staging.held(each))) for each in newest)
    applies, deletes = _applies(desired, observed, host, staging), _deletes(desired, observed, host, shards)
    return Children(_deployment(desired, observed, host), tuple(applies), tuple(deletes), staging.turn)


def _newest(host: InferenceService, observed: Observed, sources: Sources, shards: ShardSet) -> tuple[Manifest, ...]:
    """Return all children but the ConfigMap, which is written with a precondition; a pending Deployment is left out."""
    config = observed.config
    has_image = server_image(host, config) is not None and not lacks_router_image(host, config)
    is_sharded, is_exposed = host.spec.predictor.is_heterogeneous, hostname_problem(observed) is None
    manifests = (
        *(_deployments(host, observed, sources, shards) if has_image and not observed.lookups_pending else ()),
        build_service(host),
        build_autoscaler(host, observed.autoscalers) if has_image else None,
        build_budget_of_shards(host, len(shards.kept)) if is_sharded else build_disruption_budget(host),
        build_router_deployment(host, config) if has_image else None,
        build_router_budget(host, config),
        *build_network_policies(host, config),
        build_ingress(host, config) if is_exposed else None,
        build_http_route(host, config) if is_exposed else None,
    )
    given = (each for each in manifests if each is not None)
    return tuple(each | {"metadata": with_host_metadata(each["metadata"], host)} for each in given)


def _deployments(host: InferenceService, observed: Observed, sources: Sources, shards: ShardSet) -> list[Manifest]:
    """Return the Deployment of a homogeneous host, or those of the shards."""
    config = observed.config
    if host.spec.predictor.is_heterogeneous:
        return build_shards(host, config, shards.kept, observed_deployments(host, observed), sources)
    current = observed.child("Deployment", names.deployment(observed.key.name))
    return [build_deployment(host, config, current, sources, observed.autoscalers, observed.decided_replicas)]


def _deployment(desired: Iterable[Manifest], observed: Observed, host: InferenceService) -> Manifest | None:
    first = next(_with_models(desired, observed), None)
    child = Child("Deployment", first["metadata"]["name"]) if first is not None else None
    current = observed.children.get(child) if child is not None else None
    if child in observed.failures or (current is not None and not belongs_to(current, host)):
        return None  # else each attempt would count the revision up, though no Deployment has it
    return first


def _with_models(desired: Iterable[Manifest], observed: Observed) -> Iterator[Manifest]:
    """Yield the Deployments with models: all but that of the routers."""
    routers = names.router(observed.key.name)
    yield from (each for each in desired if each["kind"] == "Deployment" and each["metadata"]["name"] != routers)


def _applies(
    desired: Iterable[Manifest], observed: Observed, host: InferenceService, staging: Staging
) -> Iterable[Apply]:
    ready = deployment_is_ready(host, observed) and routers_answer(host, observed)
    waiting = _waiting(desired, observed, host) if host.spec.predictor.is_heterogeneous else ()
    for manifest in desired:
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] in waiting:
            continue
        current = observed.child(manifest["kind"], manifest["metadata"]["name"])
        reason = first_difference(manifest, current)
        if reason and (current is None or belongs_to(current, host)):
            take_over = ready or manifest["kind"] not in ROUTING
            version = _precondition(manifest, current, staging)
            yield Apply(manifest, reason, take_over=take_over, resource_version=version)


def _waiting(desired: Iterable[Manifest], observed: Observed, host: InferenceService) -> Collection[str]:
    return held_back(_with_models(desired, observed), observed_deployments(host, observed))


def _precondition(manifest: Manifest, current: Manifest | None, staging: Staging) -> str | None:
    """Return the resourceVersion of a Deployment with replicas, or a pod template, that were read from it."""
    if manifest["kind"] != "Deployment" or current is None:
        return None
    is_read = staging.is_held(manifest) or becomes_owned(manifest, current)
    return str(current["metadata"]["resourceVersion"]) if is_read else None


def _deletes(
    desired: Iterable[Manifest], observed: Observed, host: InferenceService, shards: ShardSet
) -> Iterable[Delete]:
    """Yield the deletion of optional children that are no longer desired, and of shards that were drained.

    No other Deployment or ConfigMap is deleted, since they hold the models. NetworkPolicies stay while their setting is
    absent.
    """
    for index in shards.removed:
        yield from _of_drained(observed, host, index)
    keep = {Child(each["kind"], each["metadata"]["name"]) for each in desired}
    policies = ("NetworkPolicy",) if observed.config.hosts.network_policy is not None else ()
    optional = ("HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress", "HTTPRoute", *policies)
    for child, manifest in observed.children.items():
        if child.kind in optional and child not in keep and belongs_to(manifest, host):
            yield Delete(child, manifest["metadata"]["uid"], "no longer desired")
