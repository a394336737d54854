"""CustomResourceDefinitions, printed from the pydantic types for either API group.

Each kind has printer columns for `kubectl get`. pydantic writes JSON Schema 2020, and Kubernetes demands structural
schemas: OpenAPI v3 without references, unions or titles. The conversion inlines references, takes the type out of
`X | null`, and keeps types and descriptions. Bounds, patterns and enums are omitted, because every object that KServe
accepts must pass; rules are functions in `plan/rules/`. Every object preserves unknown fields. An optional field may
be null, since the API server drops a null that a schema does not allow.
"""

from __future__ import annotations

from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.kube_model import KubeModel
from manyserve.api.names import KSERVE_GROUP, MANAGER, PART_OF
from manyserve.api.trainedmodel import TrainedModel

_KEPT = ("type", "nullable", "description", "required")
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


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
    _column("Pods", ".status.pods", wide=True),
    _column("Copies", ".status.copies", wide=True),
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
    _column("On", ".status.shards", wide=True),
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
    schema = _structural(model)
    schema["properties"] |= {
        "apiVersion": {"type": "string", "description": "Version of the schema."},
        "kind": {"type": "string", "description": "Kind of the object."},
        "metadata": {"type": "object"},
    }
    for key in ("required", _PRESERVE):
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


def _structural(model: type[KubeModel]) -> dict[str, Any]:
    """Return the structural schema of a type."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}))


def _convert(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    node = _resolved(node, defs)
    out = {key: node[key] for key in _KEPT if key in node}
    out |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    if "x-kubernetes-int-or-string" in out:
        out.pop("type", None)
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in node:
        out["properties"] = {key: _convert(each, defs) for key, each in node["properties"].items()}
        out[_PRESERVE] = True
    if isinstance(node.get("additionalProperties"), dict):
        out["additionalProperties"] = _convert(node["additionalProperties"], defs)
    if "items" in node:
        out["items"] = _convert(node["items"], defs)
    return out


def _resolved(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Resolve a reference, or a union with `null`; the keys beside it override those of the type."""
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    if "$ref" in node:
        return _resolved(defs[node["$ref"].rpartition("/")[2]], defs) | beside
    options = [each for each in node.get("anyOf", []) if each.get("type") != "null"]
    if options and "x-kubernetes-int-or-string" not in node:
        if len(options) > 1:
            raise TypeError(f"no structural schema for a union of {options}")
        return _resolved(options[0], defs) | beside | {"nullable": True}
    return node
