"""Cluster state: an index of all watched objects by host, so that a snapshot of one host reads nothing of the others.

The informers update it one object at a time, and each object is parsed once, when it changes. With 10,000 models on 100
hosts a snapshot then costs no more than the 100 models of its host. The state also has the configuration, the agents'
reports, and the failures of writes.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Set
from typing import TypeVar

from pydantic import ValidationError

from manyserve.api.agentreport import AgentReport
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.kube_model import KubeModel
from manyserve.api.names import HOST_LABEL, MANAGED_BY, MANAGER, Key, host_of_deployment
from manyserve.api.routerreport import RouterReport
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.storageuri import claim_of
from manyserve.api.trainedmodel import TrainedModel
from manyserve.cluster.departures import Departures
from manyserve.cluster.host_pods import HostPods, labelled_host, links, remove
from manyserve.cluster.hostnames import Hostnames
from manyserve.cluster.kinds import DEPLOYMENT
from manyserve.cluster.metadata_poller import LookupResult, ObjectRef
from manyserve.cluster.model_counts import ModelCounts
from manyserve.cluster.other_operators import OtherOperators
from manyserve.cluster.reduced import is_child
from manyserve.cluster.scope import UnmanagedObjects
from manyserve.cluster.service_accounts import Accounts, hosts_with
from manyserve.cluster.store import Manifest, key_of, key_of_change
from manyserve.plan import management
from manyserve.plan.children.take_over import is_foreign
from manyserve.plan.observed import CacheVersions, Child, Scaling
from manyserve.plan.sharding.traffic import Interval

USERS_IDLE = 0.3
"""Seconds without a change of a model after which users are idle: `kubectl apply` of a folder makes shorter pauses."""
Parsed = TypeVar("Parsed", bound=KubeModel)

_log = logging.getLogger(__name__)


class ClusterState:
    """Hosts, and by host: models, children, pods, agents' reports and failures.

    Parameters
    ----------
    enqueue
        Called with each host to be reconciled because one of its objects changed.
    on_model_change
        Called instead with each host of a model that a user changed.
    """

    def __init__(self, enqueue: Callable[[Key], None], on_model_change: Callable[[Key], None] | None = None) -> None:
        self.config: ServingConfig | None = None
        """None until there is a valid one."""
        self.hosts: dict[Key, InferenceService] = {}
        self.unmanaged = UnmanagedObjects()
        """Unmanaged InferenceServices and TrainedModels."""
        self.others = OtherOperators()
        self.hostnames = Hostnames()
        self.unparsable: set[Key] = set()
        """Hosts that exist and do not parse: they are not reconciled."""
        self.models: defaultdict[Key, dict[str, TrainedModel]] = defaultdict(dict)
        self.model_counts = ModelCounts()
        self.cache_versions: Callable[[str], CacheVersions] = lambda _namespace: CacheVersions()
        """Returns the versions that the stores of a namespace have reached."""
        self.in_scope: Callable[[str], bool] = lambda _namespace: True
        """Returns whether the objects of a namespace are managed, and all of them have been listed."""
        self.unparsable_models: defaultdict[Key, dict[str, None]] = defaultdict(dict)
        """Models that exist and do not parse: those that are placed stay placed."""
        self.departures = Departures()
        self.claims: defaultdict[Key, dict[str, str]] = defaultdict(dict)
        """The claim that a model is on, by the name of the model."""
        self.children: defaultdict[Key, dict[Child, Manifest]] = defaultdict(dict)
        self.autoscalers: defaultdict[Key, dict[str, None]] = defaultdict(dict)
        """HorizontalPodAutoscalers of others that target the Deployment of a host, by name."""
        self._host_pods = HostPods(lambda host: self.on_replicas(host))  # noqa: PLW0108  it is set later
        self.pods = self._host_pods.pods
        self.on_replicas: Callable[[Key], None] = lambda _host: None
        """Called with a host after each change that may give it other replicas or routers."""
        self.reports: dict[str, AgentReport] = {}
        """By the uid of the agent's pod."""
        self.router_reports: dict[str, RouterReport] = {}
        self.traffic: dict[str, Interval] = {}
        self.scaling: dict[Key, Scaling] = {}
        self.written: defaultdict[Key, set[tuple[str, str]]] = defaultdict(set)
        """Objects, by kind and name, with statuses that were written since the last snapshot of their host."""
        self.failures: dict[Key, dict[Child, str]] = {}
        self.foreign: dict[Key, frozenset[Child]] = {}
        """Children that another controller made for a host, and that are not taken over yet."""
        self.accounts = Accounts()
        self.lookup_results: dict[ObjectRef, LookupResult] = {}
        """Results of the metadata poller."""
        self.last_model_change = float("-inf")
        """When a user last changed a model, in seconds of a monotonic clock."""
        self._enqueue = enqueue
        self._on_model_change = on_model_change or enqueue

    def enqueue(self, key: Key) -> None:
        """Enqueue a host."""
        self._enqueue(key)

    def enqueue_all(self) -> None:
        """Enqueue every host, sorted, also unmanaged ones, and those that exist only as a name in a model."""
        for key in sorted(self._named()):
            self._enqueue(key)

    def enqueue_namespace(self, namespace: str) -> None:
        """Enqueue every host of a namespace, as `enqueue_all` does for all."""
        for key in self._named():
            if key.namespace == namespace:
                self._enqueue(key)

    def _named(self) -> set[Key]:
        return {*self.hosts, *self.models, *self.unmanaged.hosts}

    def update_host(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the state by a change of a host. Other hosts with its host name are enqueued."""
        key = key_of_change(old, new)
        self._store_host(key, new)
        for other in self.hostnames.update(key, self.hosts.get(key)):
            self._enqueue(other)
        self.on_replicas(key)

    def _store_host(self, key: Key, new: Manifest | None) -> None:
        self.departures.update_host(key, new)
        self.hosts.pop(key, None)
        self.unparsable.discard(key)
        why = management.host_unmanaged(new) if new is not None else None
        self.unmanaged.update_host(key, new, why)
        is_of_other = self.others.update_host(key, new)
        if new is None or why is not None or is_of_other:
            self.failures.pop(key, None)
            return
        host = _parse(InferenceService, new)
        if host is None:
            self.unparsable.add(key)
        else:
            self.hosts[key] = host

    def update_model(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the state by a change of a model."""
        if old is not None:
            host, name = model_host(old), old["metadata"]["name"]
            self.model_counts.remove(host, self.models.get(host, {}).get(name))
            remove(self.models, host, name)
            remove(self.claims, host, name)
            remove(self.unparsable_models, host, name)
            remove(self.unmanaged.models, host, name)
        why = management.model_unmanaged(new) if new is not None else None
        if new is not None and why is not None:
            self.unmanaged.models[model_host(new)][new["metadata"]["name"]] = why
        model = _parse(TrainedModel, new) if new and why is None else None
        if new is None or why is not None:
            return
        if model is None:
            self.unparsable_models[model_host(new)][new["metadata"]["name"]] = None
        else:
            self.models[model_host(new)][model.metadata.name] = model
            self.model_counts.add(model_host(new), model)
            claim = claim_of(model.spec.model.storage_uri)
            if claim is not None:
                self.claims[model_host(new)][model.metadata.name] = claim

    def update_child(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the state by a change of a child."""
        if old is not None:
            remove(self.children, labelled_host(old), child_of(old))
        if new is not None and is_child(new):
            self.children[labelled_host(new)][child_of(new)] = new
        for manifest in (old, new):
            if manifest is not None and manifest["kind"] == DEPLOYMENT.name:
                self.on_replicas(labelled_host(manifest))

    def update_autoscaler(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the state by a change of a HorizontalPodAutoscaler, a child or another one."""
        self.update_child(_own(old), _own(new))
        if old is not None and (host := targeted_host(old)) is not None:
            remove(self.autoscalers, host, old["metadata"]["name"])
        if new is not None and (host := targeted_host(new)) is not None:
            self.autoscalers[host][new["metadata"]["name"]] = None

    def update_pod(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the state by a change of a pod."""
        self._host_pods.update_pod(old, new)

    def update_replica_set(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the state by a change of a ReplicaSet."""
        self._host_pods.update_replica_set(old, new)

    def replicas(self, key: Key) -> tuple[Manifest, ...]:
        """Return the pods that are replicas of a host, by the uids of their controllers."""
        return self._host_pods.replicas(key, self.departures.present(key), self.children.get(key, {}))

    def routers(self, key: Key) -> tuple[Manifest, ...]:
        """Return the pods of a host's routers, likewise."""
        return self._host_pods.routers(key, self.departures.present(key), self.children.get(key, {}))

    def model_names(self, host: Key) -> set[str]:
        """Return the names of all models that name a host."""
        indexes = (self.models, self.unparsable_models, self.unmanaged.models)
        return {name for index in indexes for name in index.get(host, ())}

    def account_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        """Enqueue the hosts that use this ServiceAccount."""
        for key in list(hosts_with(key_of_change(old, new), self.hosts)):
            self._enqueue(key)

    def model_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        """Call `on_model_change` for the host that a model names, and for the one that it named before."""
        self.last_model_change = time.monotonic()
        for key in {model_host(each) for each in (old, new) if each is not None}:
            self._on_model_change(key)

    def autoscaler_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        """Enqueue the host of a child that changed, or the hosts that another autoscaler targets anew or no more."""
        self.changed(_own(old), _own(new), labelled_host)
        before, after = (targeted_host(each) if each is not None else None for each in (old, new))
        for key in (before, after) if before != after else ():
            if key is not None:
                self._enqueue(key)

    def replica_set_changed(self, old: Manifest | None, new: Manifest | None) -> None:
        """Enqueue the host of a ReplicaSet with other links; the number of its pods changes far more often."""
        if links(old) != links(new):
            self.changed(old, new, labelled_host)

    def object_of(self, key: Key, kind: str, name: str) -> InferenceService | TrainedModel | None:
        """Return a host, or a model of a host."""
        return self.models.get(key, {}).get(name) if kind == "TrainedModel" else self.hosts.get(key)

    def planned(self, key: Key, updated: Set[tuple[str, str]], in_flight: Set[tuple[Key, tuple[str, str]]]) -> None:
        """Enqueue a host again if its plan missed a status write: done since its snapshot or in flight, not updated."""
        if (self.written.pop(key, set()) | {each for host, each in in_flight if host == key}) - updated:
            self._enqueue(key)

    def applied(self, key: Key, refused: dict[Child, str], foreign: frozenset[Child]) -> None:
        """Keep refusals and other controllers' children for a host's next plan; it is due when they change."""
        failures_ended = self.failures.pop(key, None) and not refused
        if foreign != self.foreign.pop(key, frozenset()) or failures_ended:
            self._enqueue(key)
        if foreign:
            self.foreign[key] = foreign
        if refused:
            self.failures[key] = refused

    def changed(self, old: Manifest | None, new: Manifest | None, host: Callable[[Manifest], Key]) -> None:
        """Enqueue the host of an object, and the one that it belonged to before."""
        for key in {host(each) for each in (old, new) if each is not None}:
            self._enqueue(key)


def model_host(manifest: Manifest) -> Key:
    """Return the host that a TrainedModel names. A foreign CRD may have admitted a spec of any shape."""
    spec = manifest.get("spec")
    name = spec.get("inferenceService") if isinstance(spec, dict) else None
    return Key(manifest["metadata"].get("namespace", ""), name if isinstance(name, str) else "")


def targeted_host(autoscaler: Manifest) -> Key | None:
    """Return the host with the Deployment that another's HorizontalPodAutoscaler targets, or None.

    One that KServe made for a host is none: it has an InferenceService as its owner.
    """
    target = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    owners = autoscaler["metadata"].get("ownerReferences") or ()
    of_host = any(each.get("kind") == "InferenceService" for each in owners)
    if of_host or not is_foreign(autoscaler) or target.get("kind") != "Deployment":
        return None
    host = host_of_deployment(target.get("name", ""))
    return Key(autoscaler["metadata"].get("namespace", ""), host) if host else None


def _own(manifest: Manifest | None) -> Manifest | None:
    """Return the object if it has the labels of a child, else None."""
    labels = (manifest["metadata"].get("labels") or {}) if manifest is not None else {}
    return manifest if labels.get(MANAGED_BY) == MANAGER and HOST_LABEL in labels else None


def child_of(manifest: Manifest) -> Child:
    """Return the kind and name of a child."""
    return Child(manifest["kind"], manifest["metadata"]["name"])


def _parse(kind: type[Parsed], manifest: Manifest) -> Parsed | None:
    try:
        return kind.from_wire(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        path, name = ".".join(str(part) for part in first["loc"]), f"{kind.__name__} {key_of(manifest)}"
        _log.error("%s cannot be read and is left alone: %s: %s", name, path, first["msg"])
        return None
