"""Which pods are replicas of a host: a chain of controllers decides, by uids. Names and labels are claims of anybody.

A replica has a ReplicaSet as its controller. The controller of this ReplicaSet is a Deployment of the host, and that of
the Deployment is the host. The pod also has the template hash of the ReplicaSet. The creator of a pod chooses its owner
references, so the chain alone is no proof. With the hash the pod is one that the ReplicaSet's own controller counts.
This controller removes the reference of any other pod, and deletes surplus pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from manyserve.api import names

Manifest = dict[str, Any]

POD_TEMPLATE_HASH = "pod-template-hash"


def controller_of(manifest: Manifest, kind: str) -> str | None:
    """Return the uid of an object's controller, if that is of this kind."""
    owners = manifest["metadata"].get("ownerReferences") or ()
    return next((each.get("uid") for each in owners if each.get("controller") and each.get("kind") == kind), None)


def true_replicas(
    host: names.Key,
    uid: str | None,
    deployments: Iterable[Manifest],
    replica_sets: Iterable[Manifest],
    pods: Iterable[Manifest],
) -> Iterator[Manifest]:
    """Yield the pods that are replicas of the host with this uid; `deployments` have the names of the host's own."""
    if uid is None:
        return
    owners = {each["metadata"].get("uid") for each in deployments if _is_of_host(each, host, uid)} - {None, ""}
    if not owners:
        return
    hashes = {
        each["metadata"]["uid"]: template_hash(each)
        for each in replica_sets
        if controller_of(each, "Deployment") in owners
    }
    yield from (pod for pod in pods if _is_of_replica_set(pod, hashes))


def _is_of_host(deployment: Manifest, host: names.Key, uid: str) -> bool:
    """Return whether the host controls its Deployment. One without any owner is adopted by the next plan."""
    if not deployment["metadata"].get("ownerReferences"):
        return names.labels(host.name).items() <= (deployment["metadata"].get("labels") or {}).items()
    return controller_of(deployment, "InferenceService") == uid


def _is_of_replica_set(pod: Manifest, hashes: Mapping[str, str]) -> bool:
    owner = controller_of(pod, "ReplicaSet")
    return owner is not None and owner in hashes and template_hash(pod) == hashes[owner]


def template_hash(manifest: Manifest) -> str:
    """Return the Deployment's hash of the pod template, from the label of a pod or a ReplicaSet."""
    return str((manifest["metadata"].get("labels") or {}).get(POD_TEMPLATE_HASH, ""))
