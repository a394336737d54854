"""CRDs printed from the pydantic types, as structural schemas.

pydantic speaks JSON Schema 2020; Kubernetes wants OpenAPI v3 without references, unions or titles. The
converter below inlines references, takes the one real type out of `X | null`, and keeps descriptions,
bounds, patterns and CEL rules. Printer columns stand beside the kinds, so that `kubectl get` is designed
and not left over.
"""

from __future__ import annotations

from typing import Any

from manyserve.api import trainedmodel
from manyserve.api.base import Wire
from manyserve.api.inferenceservice import NAME_LIMIT, InferenceService
from manyserve.api.names import GROUP
from manyserve.api.trainedmodel import TrainedModel

_KEPT = (
    "type",
    "description",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "required",
    "format",
)


def structural(model: type[Wire]) -> dict[str, Any]:
    """Return the structural schema of a type."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}))


def _convert(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    node = _resolved(node, defs)
    out = {key: node[key] for key in _KEPT if key in node}
    out |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    if "const" in node:
        out["enum"] = [node["const"]]
    if "x-kubernetes-int-or-string" in out:
        out.pop("type", None)
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in node:
        out["properties"] = {key: _convert(each, defs) for key, each in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), dict):
        out["additionalProperties"] = _convert(node["additionalProperties"], defs)
        out["maxProperties"] = 64
    if "items" in node:
        out["items"] = _convert(node["items"], defs)
    return out


def _resolved(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference and leave `null` out of a union; what stands beside them wins."""
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    if "$ref" in node:
        return _resolved(defs[node["$ref"].rpartition("/")[2]], defs) | beside
    options = [each for each in node.get("anyOf", []) if each.get("type") != "null"]
    if options and "x-kubernetes-int-or-string" not in node:
        if len(options) > 1:
            raise TypeError(f"no structural schema for a union of {options}")
        return _resolved(options[0], defs) | beside
    return node


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
_HOST_RULES = [
    {
        "rule": f"size(self.metadata.name) <= {NAME_LIMIT} && "
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "message": "metadata.name must be a DNS label that starts with a letter, of at most "
        f"{NAME_LIMIT} characters, so that the names of its children fit into 63",
    },
    {
        "rule": "!has(self.spec.transformer)",
        "message": "spec.transformer is not supported yet",
    },
    {
        "rule": "!has(self.spec.explainer)",
        "message": "spec.explainer is not supported yet",
    },
]
_MODEL_RULES = [
    {
        "rule": f"size(self.metadata.name) <= {trainedmodel.NAME_LIMIT} && "
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "message": trainedmodel.MODEL_NAME_SENTENCE,
    },
]


def inference_services() -> dict[str, Any]:
    """Return the CustomResourceDefinition of InferenceService."""
    version = _version("v1beta1", InferenceService, _HOST_COLUMNS, _HOST_RULES)
    return _definition("InferenceService", "isvc", version)


def trained_models() -> dict[str, Any]:
    """Return the CustomResourceDefinition of TrainedModel."""
    version = _version("v1alpha1", TrainedModel, _MODEL_COLUMNS, _MODEL_RULES)
    return _definition("TrainedModel", "tm", version | {"selectableFields": [{"jsonPath": ".spec.inferenceService"}]})


def _version(
    name: str, model: type[Wire], columns: list[dict[str, Any]], rules: list[dict[str, str]]
) -> dict[str, Any]:
    schema = structural(model)
    schema["properties"] |= {
        "apiVersion": {"type": "string", "description": "Version of the schema."},
        "kind": {"type": "string", "description": "Kind of the object."},
        "metadata": {"type": "object"},
    }
    schema |= {"required": ["spec"], "x-kubernetes-validations": rules}
    return {
        "name": name,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema},
    }


def _definition(kind: str, short: str, version: dict[str, Any]) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["serving"],
            },
            "versions": [version],
        },
    }
