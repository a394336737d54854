"""JSON schemas of the two kinds, for kubeconform and editors, made from the CRDs.

There are two of each kind. One accepts what the API server accepts, which preserves unknown fields below `spec`. The
other has the suffix `-strict`, as kubeconform names it, and refuses an unknown field in a part of the spec with a type,
as the webhook does.
"""

from __future__ import annotations

import json
from typing import Any

Schema = dict[str, Any]
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_DIALECT = "http://json-schema.org/draft-07/schema#"
SUFFIXES = {"": False, "-strict": True}


def files(crd: Schema) -> dict[str, str]:
    """Return the text of each schema of a CRD by its file, in the layout of kubeconform."""
    names, group = crd["spec"]["names"], crd["spec"]["group"]
    return {
        f"{group}/{names['singular']}_{version['name']}{suffix}.json": _text(crd, version, strict=strict)
        for version in crd["spec"]["versions"]
        for suffix, strict in SUFFIXES.items()
    }


def _text(crd: Schema, version: Schema, *, strict: bool) -> str:
    source = version["schema"]["openAPIV3Schema"]
    schema = {"$schema": _DIALECT, "title": crd["spec"]["names"]["kind"]} | _converted(source, strict=False)
    properties = dict(schema["properties"])
    properties["apiVersion"] = properties["apiVersion"] | {"const": f"{crd['spec']['group']}/{version['name']}"}
    properties["kind"] = properties["kind"] | {"const": crd["spec"]["names"]["kind"]}
    properties["spec"] = _converted(source["properties"]["spec"], strict=strict)
    schema |= {"properties": properties, "required": ["apiVersion", "kind", "metadata", "spec"]}
    return json.dumps(schema, indent=1) + "\n"


def _converted(node: Schema, *, strict: bool) -> Schema:
    """Return a part in JSON Schema: null as a type, and a closed object where unknown fields are refused."""
    schema: Schema = {key: node[key] for key in ("description", "required") if key in node}
    if "anyOf" in node:
        schema["anyOf"] = [*node["anyOf"], *([{"type": "null"}] if node.get("nullable") else [])]
    elif "type" in node:
        schema["type"] = [node["type"], "null"] if node.get("nullable") else node["type"]
    if "items" in node:
        schema["items"] = _converted(node["items"], strict=strict)
    if "properties" in node:
        schema["properties"] = {key: _converted(each, strict=strict) for key, each in node["properties"].items()}
        if strict or _PRESERVE not in node:
            schema["additionalProperties"] = False
    elif isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = _converted(node["additionalProperties"], strict=strict)
    return schema
