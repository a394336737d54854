"""CRDs of another controller in the group of KServe: they accept any object, as KServe's nearly do."""

from __future__ import annotations

from typing import Any

from manyserve.api_group import KSERVE

Manifest = dict[str, Any]
KINDS = (("InferenceService", "isvc", "v1beta1"), ("TrainedModel", "tm", "v1alpha1"))
NAMES = tuple(f"{kind.lower()}s.{KSERVE}" for kind, _, _ in KINDS)


def permissive_crds() -> list[Manifest]:
    """Return both CRDs."""
    return [permissive_crd(*each) for each in KINDS]


def permissive_crd(kind: str, short: str, version: str, group: str = KSERVE) -> Manifest:
    """Return a CRD that accepts anything."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    one = {"name": version, "served": True, "storage": True, "subresources": {"status": {}}}
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "shortNames": [short], "singular": kind.lower()},
            "versions": [one | {"schema": {"openAPIV3Schema": schema}}],
        },
    }
