"""Chain of controllers that makes a pod a replica: a host, its Deployment, and the ReplicaSet of the pod."""

from __future__ import annotations

from typing import Any

from manyserve.api import names
from manyserve.cluster.state import ClusterState

Manifest = dict[str, Any]
HOST, NAMESPACE, HASH = "triton-mms", "default", "5d8c"
ROUTERS = "uid-replica-set-of-routers"
"""Uid of the ReplicaSet of routers."""


def controlled_by(kind: str, uid: str, name: str = HOST) -> list[Manifest]:
    """Return the owner references of an object with this controller."""
    group = {"InferenceService": f"{names.GROUP}/v1beta1"}.get(kind, "apps/v1")
    return [{"apiVersion": group, "kind": kind, "name": name, "uid": uid, "controller": True}]


def deployment(**metadata: Any) -> Manifest:
    """Return the Deployment of the host of `make.host_object`."""
    own = {"labels": names.labels(HOST), "ownerReferences": controlled_by("InferenceService", f"uid-{HOST}")}
    return _object("Deployment", names.deployment(HOST), "uid-deployment", own | metadata)


def replica_set(**metadata: Any) -> Manifest:
    """Return the ReplicaSet of this Deployment."""
    owners = controlled_by("Deployment", "uid-deployment")
    own = {"labels": pod_labels(), "ownerReferences": owners}
    return _object("ReplicaSet", f"{names.deployment(HOST)}-{HASH}", "uid-replica-set", own | metadata)


def pod_labels() -> dict[str, str]:
    """Return the labels of a pod of this ReplicaSet."""
    return {**names.selector(HOST), "pod-template-hash": HASH}


def pod_owners() -> list[Manifest]:
    """Return the owner references of a pod of this ReplicaSet."""
    return controlled_by("ReplicaSet", "uid-replica-set")


def router_owners() -> list[Manifest]:
    """Return the owner references of a router."""
    return controlled_by("ReplicaSet", ROUTERS)


def claimant(name: str, host: str, owners: list[Manifest]) -> Manifest:
    """Return a pod that claims to be a replica: it has the labels of the host's Service, and these owner references."""
    metadata = {"name": name, "labels": names.selector(host), "ownerReferences": owners}
    container = {"name": "c", "image": "example/none"}
    spec = {"containers": [container], "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def reference_to(replica_set: Manifest) -> Manifest:
    """Return an owner reference to a stored ReplicaSet: anybody can read its uid."""
    own = {"name": replica_set["metadata"]["name"], "uid": replica_set["metadata"]["uid"]}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True} | own


def add_chain(state: ClusterState) -> None:
    """Add the Deployment and the ReplicaSet to the cluster state."""
    state.update_child(None, deployment())
    state.update_replica_set(None, replica_set())


def _object(kind: str, name: str, uid: str, metadata: Manifest) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "resourceVersion": "1"} | metadata,
    }
