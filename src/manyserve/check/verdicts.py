"""Verdicts on what the API server returned: a sentence about a problem, or None."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manyserve.api.names import GROUP, MANAGER, PART_OF
from manyserve.cluster.errors import ClusterError

Manifest = Mapping[str, Any]
URI = "https://169.254.169.254/latest"
"""An address that no model may have, in any state of the cluster. Only the webhook refuses it."""
_DENIED = f'admission webhook "validate.{GROUP}" denied the request'


def deployment_problem(deployment: Manifest) -> str | None:
    """Return the problem of a Deployment with too few ready pods of its last generation."""
    metadata, status = deployment["metadata"], deployment.get("status") or {}
    wanted = (deployment.get("spec") or {}).get("replicas", 1)
    name = f"the Deployment {metadata['namespace']}/{metadata['name']}"
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        return f"{name} has a change that Kubernetes has not acted on yet"
    ready = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
    if wanted == 0:
        return f"{name} is scaled to 0"
    if ready < wanted:
        return f"{name} has {ready} of {wanted} pods ready; kubectl describe says why"
    old = status.get("replicas", 0) - status.get("updatedReplicas", 0)  # a ready one may stand for an unready new one
    return f"{name} still has {old} {'pod' if old == 1 else 'pods'} of an earlier change" if old > 0 else None


def owner_problem(name: str, metadata: Manifest) -> str | None:
    """Return the problem of a CRD without the label of manyserve's own."""
    part_of = (metadata.get("labels") or {}).get(PART_OF)
    if part_of == MANAGER:
        return None
    return f"the CRD {name} is not manyserve's: it has no label {PART_OF}={MANAGER}; docs/install.md says what to do"


def review_problem(error: ClusterError | None, namespace: str) -> str | None:
    """Return the problem of a dry run that the webhook did not refuse."""
    if error is None:
        return (
            f"the webhook did not refuse a TrainedModel with the address {URI} in the namespace {namespace}: "
            "either the API server does not reach it, or the namespace is not one that it reviews (tests.namespace)"
        )
    if _DENIED in str(error):
        return None
    return f"a TrainedModel in the namespace {namespace} was refused, but not by the webhook: {error}"


def wrong_model(namespace: str, version: str) -> dict[str, Any]:
    """Return a model that only the webhook refuses."""
    model = {"framework": "onnx", "memory": "1Mi", "storageUri": URI}
    return {
        "apiVersion": version,
        "kind": "TrainedModel",
        "metadata": {"name": "manyserve-check", "namespace": namespace},
        "spec": {"inferenceService": "manyserve-check", "model": model},
    }
