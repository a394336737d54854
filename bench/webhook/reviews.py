"""The requests: models that do not exist yet, as a user sends them, and as the API server asks about them."""

from __future__ import annotations

import uuid
from typing import Any

from tests.support import make

DISTINCT = 1000
"""Different models. A review of one that is repeated renews no reservation."""
MEMORY = "1Mi"
TOO_MUCH = "500Gi"
"""More than the host has."""
HOST_MEMORY = "400Gi"
Manifest = dict[str, Any]


def models(namespace: str, *, memory: str = MEMORY) -> list[Manifest]:
    """Return different new models, as a user applies them."""
    return [_model(f"bench-{number:05d}", namespace, memory) for number in range(DISTINCT)]


def reviews(namespace: str, *, memory: str = MEMORY) -> list[Manifest]:
    """Return the reviews of their creation, not of a dry run: each has memory reserved."""
    return [_review(each) for each in models(namespace, memory=memory)]


def _model(name: str, namespace: str, memory: str) -> Manifest:
    model = make.model_object(name, memory=memory)
    return model | {"metadata": {"name": name, "namespace": namespace}}


def _review(model: Manifest) -> Manifest:
    """Return a complete review of the API server, with unread fields: they have to be parsed, too."""
    kind = {"group": "serving.kserve.io", "version": "v1alpha1", "kind": "TrainedModel"}
    resource = {"group": "serving.kserve.io", "version": "v1alpha1", "resource": "trainedmodels"}
    metadata = model["metadata"]
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": str(uuid.uuid4()),
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "operation": "CREATE",
            "userInfo": {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]},
            "object": model | {"metadata": _stored(metadata, model["spec"])},
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create"},
        },
    }


def _stored(metadata: Manifest, spec: Manifest) -> Manifest:
    """Return the metadata as the API server completes it before it asks."""
    model: Manifest = {f"f:{name}": {} for name in spec["model"]}
    fields = {"f:spec": {".": {}, "f:inferenceService": {}, "f:model": {".": {}, **model}}}
    manager = {"manager": "kubectl-create", "operation": "Update", "apiVersion": "serving.kserve.io/v1alpha1"}
    return metadata | {
        "uid": str(uuid.uuid4()),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
        "managedFields": [
            manager | {"time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields},
        ],
    }
