"""Conversion of a pydantic type to a structural schema.

pydantic writes JSON Schema 2020, and Kubernetes demands OpenAPI v3 without references, unions or titles. The converter
inlines references, takes the type out of `X | null`, and keeps types and descriptions. It omits bounds, patterns and
enums, because every object that KServe accepts must pass. Every object preserves unknown fields. An optional field may
be null, since the API server drops a null that a schema does not allow.
"""

from __future__ import annotations

from typing import Any

from manyserve.api.kube_model import KubeModel

_KEPT = ("type", "nullable", "description", "required")
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def structural(model: type[KubeModel]) -> dict[str, Any]:
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
