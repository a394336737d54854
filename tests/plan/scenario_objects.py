"""Defaults of the objects of a scenario, for fields that it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from manyserve.api import names, servingconfig
from manyserve.cluster import kinds
from tests.support import replicas

READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
CHILDREN = tuple(kind.name for kind in kinds.CHILDREN)
Manifest = dict[str, Any]


def defaults(document: Manifest, host: str) -> Manifest:
    """Return the object that the first document of a kind and name changes."""
    kind, name = document["kind"], document["metadata"]["name"]
    metadata: Manifest = {
        "namespace": "default",
        "uid": _uid(name),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    if kind in CHILDREN and "labels" not in document["metadata"]:
        metadata |= {"labels": names.labels(host), "ownerReferences": [_owner(host)]}
    if kind == "Pod":
        own = {"labels": names.selector(host), "ownerReferences": replicas.pod_owners()}
        return {"metadata": metadata | own, "status": READY}
    return {"metadata": metadata}


def flattened(documents: Iterable[Manifest]) -> Iterator[Manifest]:
    """Yield the documents, with the items of each List instead of it."""
    for document in documents:
        yield from document["items"] if document["kind"] == "List" else (document,)


def host_name(documents: Iterable[Manifest]) -> str:
    """Return the name of the host that the scenario is about."""
    for document in documents:
        if document["kind"] == "InferenceService":
            return str(document["metadata"]["name"])
        if document["kind"] == "TrainedModel":
            return str(document["spec"]["inferenceService"])
    raise ValueError("a scenario has an InferenceService or a TrainedModel")


def is_serving_config(document: Manifest) -> bool:
    """Return whether a document is the operator's configuration."""
    return bool(document["kind"] == "ConfigMap" and document["metadata"]["name"] == servingconfig.NAME)


def _uid(name: str) -> str:
    return f"uid-of-{name}"


def _owner(host: str) -> Manifest:
    owner = {"apiVersion": f"{names.GROUP}/v1beta1", "kind": "InferenceService", "name": host, "uid": _uid(host)}
    return owner | {"controller": True, "blockOwnerDeletion": False}
