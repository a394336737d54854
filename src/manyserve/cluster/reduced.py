"""Projections of watched objects: the parts of each that are kept in memory.

A user may put the labels of a child on any object. Such an object is kept as its identity, so that a name that is taken
is known. Of a pod and a ReplicaSet only the fields that plans read are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from manyserve.api.names import (
    APPLIED_HASH,
    CONFIG_HASH,
    GROUP,
    HOST_LABEL,
    MANAGED_BY,
    SHARD_LABEL,
    deployment,
    model_config,
    router,
    shard_of_deployment,
    shard_of_model_config,
)
from manyserve.cluster.store import Manifest
from manyserve.plan.rules.allocation import serves_shards
from manyserve.plan.true_replicas import POD_TEMPLATE_HASH, controller_of

MOST_OWNERS = 8
"""Owner references of an object that is not ours; its controller is among them in any object of a controller."""
_LABELS = (MANAGED_BY, HOST_LABEL, SHARD_LABEL, POD_TEMPLATE_HASH)
_ANNOTATIONS = (APPLIED_HASH, CONFIG_HASH)
_METADATA = ("namespace", "name", "uid", "resourceVersion", "deletionTimestamp")
_OWNER = ("apiVersion", "kind", "name", "uid", "controller")
LONGEST_VALUE = 1024
"""Characters of a label, an annotation, or a field of an owner reference that are kept."""
_HAS_NAME: dict[str, Callable[[str, str], bool]] = {
    "Deployment": lambda host, name: name == deployment(host) or _is_sharded(host, name, shard_of_deployment),
    "Service": lambda host, name: name == host,
    "ConfigMap": lambda host, name: name == model_config(host) or _is_sharded(host, name, shard_of_model_config),
}
"""Predicates of the names of the children that hold models or lead requests to them, by the name of the host."""


def is_child(manifest: Manifest) -> bool:
    """Return whether an object with our labels may be a child: by its owner, or without any owner by its name.

    One with an owner and another name is a child only of a kind that the plan of its host deletes.
    """
    metadata = manifest["metadata"]
    host, kind, owners = label(manifest, HOST_LABEL), manifest.get("kind", ""), metadata.get("ownerReferences") or ()
    if not host:
        return False
    has_name = kind not in _HAS_NAME or _HAS_NAME[kind](host, metadata["name"])
    return has_name and (not owners or any(_is_host(owner, host) for owner in owners))


def kept_child(manifest: Manifest) -> Manifest:
    """Return a child whole, and any other object with our labels as its identity."""
    return manifest if is_child(manifest) else identity_of(manifest)


def kept_autoscaler(manifest: Manifest) -> Manifest:
    """Return a child whole, and of another autoscaler the identity and its target."""
    if label(manifest, HOST_LABEL) and is_child(manifest):
        return manifest
    target = (manifest.get("spec") or {}).get("scaleTargetRef") or {}
    return identity_of(manifest) | {"spec": {"scaleTargetRef": {key: target.get(key) for key in ("kind", "name")}}}


def kept_pod(manifest: Manifest) -> Manifest:
    """Return the fields of a pod that plans read, and of a pod without a ReplicaSet its identity."""
    if controller_of(manifest, "ReplicaSet") is None:
        return identity_of(manifest)
    spec = manifest.get("spec") or {}
    volumes, init_containers = spec.get("volumes") or (), spec.get("initContainers") or ()
    claims = [
        {"name": each.get("name", ""), "persistentVolumeClaim": each["persistentVolumeClaim"]}
        for each in volumes
        if each.get("persistentVolumeClaim")
    ]
    kept: Manifest = {"volumes": claims}
    if init_containers:
        kept["initContainers"] = [_short(each, ("name", "restartPolicy")) for each in init_containers]
    return identity_of(manifest) | {"spec": kept, "status": manifest.get("status") or {}}


def identity_of(manifest: Manifest) -> Manifest:
    """Return the identity of an object: its kind, name, uid, version and owners, and our labels and annotations."""
    metadata = manifest["metadata"]
    owners = [_short(each, _OWNER) for each in (metadata.get("ownerReferences") or ())[:MOST_OWNERS]]
    kept: dict[str, Any] = {key: metadata[key] for key in _METADATA if key in metadata}
    kept["labels"] = _short(metadata.get("labels") or {}, _LABELS)
    kept["annotations"] = _short(metadata.get("annotations") or {}, _ANNOTATIONS)
    return {key: manifest[key] for key in ("apiVersion", "kind") if key in manifest} | {
        "metadata": kept | ({"ownerReferences": owners} if owners else {})
    }


def label(manifest: Manifest, name: str) -> str:
    """Return a label, or an empty text."""
    return str((manifest["metadata"].get("labels") or {}).get(name, ""))


def _is_sharded(host: str, name: str, shard_of: Callable[[str, str], int | None]) -> bool:
    """Return whether an object of this name is of a shard, or of the routers."""
    return serves_shards() and (name == router(host) or shard_of(host, name) is not None)


def _is_host(owner: Manifest, host: str) -> bool:
    group = str(owner.get("apiVersion", "")).partition("/")[0]
    return owner.get("kind") == "InferenceService" and owner.get("name") == host and group == GROUP


def _short(values: Manifest, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of these names that are there; a long text is cut."""
    return {
        name: values[name][:LONGEST_VALUE] if isinstance(values[name], str) else values[name]
        for name in names
        if name in values
    }
