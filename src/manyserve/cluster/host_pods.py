"""Index of pods and ReplicaSets by the host in their label, and the replicas of a host among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeVar

from manyserve.api import names
from manyserve.api.names import HOST_LABEL, Key
from manyserve.cluster.kinds import DEPLOYMENT, REPLICA_SET
from manyserve.cluster.reduced import identity_of, kept_pod
from manyserve.cluster.store import Manifest
from manyserve.plan.observed import Child
from manyserve.plan.true_replicas import controller_of, template_hash, true_replicas

Item = TypeVar("Item")
Value = TypeVar("Value")
_Index = defaultdict[Key, dict[str, Manifest]]


class HostPods:
    """Pods and ReplicaSets by host, reduced to what plans read.

    Parameters
    ----------
    on_change
        Called with the host of each object that changed.
    """

    def __init__(self, on_change: Callable[[Key], None]) -> None:
        self.pods: _Index = defaultdict(dict)
        """Pods of any ReplicaSet with the label of a host."""
        self._replica_sets: _Index = defaultdict(dict)
        self._on_change = on_change

    def update_pod(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the index by a change of a pod. One without a ReplicaSet is left out."""
        self._update(self.pods, old, kept_pod(new) if new and controller_of(new, REPLICA_SET.name) else None)

    def update_replica_set(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the index by a change of a ReplicaSet."""
        self._update(self._replica_sets, old, identity_of(new) if new else None)

    def replicas(self, host: Key, uid: str | None, children: Mapping[Child, Manifest]) -> tuple[Manifest, ...]:
        """Return the replicas of the host with this uid and these children."""
        return self._of(host, uid, children, of_routers=False)

    def routers(self, host: Key, uid: str | None, children: Mapping[Child, Manifest]) -> tuple[Manifest, ...]:
        """Return the pods of the routers of the host with this uid and these children."""
        return self._of(host, uid, children, of_routers=True)

    def _of(
        self, host: Key, uid: str | None, children: Mapping[Child, Manifest], *, of_routers: bool
    ) -> tuple[Manifest, ...]:
        deployments = [
            manifest
            for child, manifest in children.items()
            if child.kind == DEPLOYMENT.name and (child.name == names.router(host.name)) is of_routers
        ]
        sets, pods = self._replica_sets.get(host, {}).values(), self.pods.get(host, {}).values()
        return tuple(true_replicas(host, uid, deployments, sets, pods))

    def _update(self, index: _Index, old: Manifest | None, new: Manifest | None) -> None:
        if old is not None:
            remove(index, labelled_host(old), old["metadata"]["name"])
        if new is not None:
            index[labelled_host(new)][new["metadata"]["name"]] = new
        for host in {labelled_host(each) for each in (old, new) if each is not None}:
            self._on_change(host)


def remove(index: defaultdict[Key, dict[Item, Value]], host: Key, name: Item) -> Value | None:
    """Remove an item of a host from an index, and return it. A host without items has no entry."""
    value = index[host].pop(name, None)
    if not index[host]:
        del index[host]
    return value


def labelled_host(manifest: Manifest) -> Key:
    """Return the host in the label of a child or pod."""
    metadata = manifest["metadata"]
    return Key(metadata.get("namespace", ""), (metadata.get("labels") or {}).get(HOST_LABEL, ""))


def links(replica_set: Manifest | None) -> tuple[Key, str | None, str] | None:
    """Return host, Deployment and hash of a ReplicaSet, by which pods are replicas."""
    if replica_set is None:
        return None
    return labelled_host(replica_set), controller_of(replica_set, DEPLOYMENT.name), template_hash(replica_set)
