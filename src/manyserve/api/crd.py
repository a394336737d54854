"""CustomResourceDefinitions, printed from the pydantic types for either API group.

Each kind has printer columns for `kubectl get`. The schemas hold types and descriptions only, since a rule in a schema
would refuse objects of other controllers. Rules are functions in `plan/rules/`.
"""

from __future__ import annotations

from typing import Any

from manyserve.api.crd_schema import structural
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.kube_model import KubeModel
from manyserve.api.names import KSERVE_GROUP, MANAGER, PART_OF
from manyserve.api.trainedmodel import TrainedModel


def _column(name: str, path: str, *, kind: str = "string", wide: bool = False) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path}
    return column | {"priority": 1} if wide else column


def _ready(field: str) -> str:
    return f".status.conditions[?(@.type=='Ready')].{field}"


_LATEST = ".status.components.predictor.traffic[?(@.latestRevision==true)]"
_PREVIOUS = ".status.components.predictor.traffic[?(@.tag=='prev')]"
_AGE = _column("Age", ".metadata.creationTimestamp", kind="date")

_HOST_COLUMNS = [
    _column("URL", ".status.url"),
    _column("Ready", _ready("status")),
    _column("Prev", f"{_PREVIOUS}.percent", kind="integer"),
    _column("Latest", f"{_LATEST}.percent", kind="integer"),
    _column("PrevRolledoutRevision", f"{_PREVIOUS}.revisionName"),
    _column("LatestReadyRevision", f"{_LATEST}.revisionName"),
    _AGE,
    _column("Models", ".status.models", wide=True),
    _column("Memory", ".status.memory", wide=True),
    _column("Reason", _ready("message"), wide=True),
]
_MODEL_COLUMNS = [
    _column("URL", ".status.url"),
    _column("Ready", _ready("status")),
    _AGE,
    _column("Host", ".spec.inferenceService", wide=True),
    _column("Framework", ".spec.model.framework", wide=True),
    _column("Memory", ".spec.model.memory", wide=True),
    _column("Loaded", ".status.loaded", wide=True),
    _column("Reason", _ready("message"), wide=True),
]


def inference_services(group: str) -> dict[str, Any]:
    """Return the CustomResourceDefinition of InferenceService in an API group."""
    version = _version("v1beta1", InferenceService, _HOST_COLUMNS)
    return _definition(group, "InferenceService", "isvc", version)


def trained_models(group: str) -> dict[str, Any]:
    """Return the CustomResourceDefinition of TrainedModel in an API group."""
    version = _version("v1alpha1", TrainedModel, _MODEL_COLUMNS)
    selectable = {"selectableFields": [{"jsonPath": ".spec.inferenceService"}]}
    return _definition(group, "TrainedModel", "tm", version | selectable)


def _version(name: str, model: type[KubeModel], columns: list[dict[str, Any]]) -> dict[str, Any]:
    schema = structural(model)
    schema["properties"] |= {
        "apiVersion": {"type": "string", "description": "Version of the schema."},
        "kind": {"type": "string", "description": "Kind of the object."},
        "metadata": {"type": "object"},
    }
    for key in ("required", "x-kubernetes-preserve-unknown-fields"):
        schema.pop(key, None)
    return {
        "name": name,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema},
    }


def _definition(group: str, kind: str, short: str, version: dict[str, Any]) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "labels": {PART_OF: MANAGER}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short if group == KSERVE_GROUP else f"m{short}"],
                "categories": ["serving"],
            },
            "versions": [version],
        },
    }
