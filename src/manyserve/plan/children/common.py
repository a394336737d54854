"""Metadata that all children of a host share, and the diff that decides whether a child is applied again.

A child is applied when it is missing, when the desired manifest changed, or when another writer changed a field of
ours. A hash of the desired manifest in an annotation detects the second case, so that dropped fields are removed too.
The diff returns a message with the first difference, which the operator logs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.quantity import parse_quantity
from manyserve.plan.observed import Manifest

_QUANTITIES = ("limits", "requests", "sizeLimit")
_IDENTITIES = ("uid", "name")
"""Keys of list elements: owners by uid, since successive hosts share a name; all other elements by name."""
EXACT = ("NetworkPolicy",)
"""Kinds with a spec that is compared whole: an added or empty selector lets more peers in. It has no defaults."""


def owner_reference(host: InferenceService) -> dict[str, Any]:
    """Return the owner reference to the host, by which Kubernetes deletes the object with the host."""
    return {
        "apiVersion": f"{names.GROUP}/v1beta1",
        "kind": "InferenceService",
        "name": host.metadata.name,
        "uid": host.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def child(host: InferenceService, api_version: str, kind: str, name: str, **parts: Any) -> Manifest:
    """Return the manifest of an object that the host owns; `parts` are its top-level fields beside the metadata."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": host.metadata.namespace,
            "labels": names.labels(host.metadata.name),
            "ownerReferences": [owner_reference(host)],
        },
        **parts,
    }


def belongs_to(manifest: Manifest, host: InferenceService) -> bool:
    """Return whether this host owns the object, not an earlier host of the same name.

    An object with our labels and no owner is the host's, too. Its reference was removed by hand, or an earlier host
    was deleted with `--cascade=orphan`.
    """
    owners, labels = manifest["metadata"].get("ownerReferences") or (), manifest["metadata"].get("labels") or {}
    if not owners:
        return names.labels(host.metadata.name).items() <= labels.items()
    return any(owner.get("uid") == host.metadata.uid for owner in owners)


def with_hash(manifest: Manifest) -> Manifest:
    """Return the manifest with its own hash in an annotation."""
    annotations = manifest["metadata"].get("annotations", {}) | {names.APPLIED_HASH: digest(manifest)}
    return manifest | {"metadata": manifest["metadata"] | {"annotations": annotations}}


def digest(value: Any) -> str:
    """Return a short hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def first_difference(desired: Manifest, observed: Manifest | None) -> str | None:
    """Return the first reason to apply the hashed manifest, or None when the observed object has all of it."""
    if observed is None:
        return "it does not exist"
    is_exact = desired["kind"] not in EXACT or desired["spec"] == _without_inert(observed.get("spec") or {})
    return difference(desired, observed) or (None if is_exact else "spec has more than the desired fields")


def _without_inert(spec: Manifest) -> Manifest:
    """Return the spec of a NetworkPolicy without egress rules. Without the policy type they have no effect.

    An apply does not remove rules that another manager has added.
    """
    inert = () if "Egress" in spec.get("policyTypes", ()) else ("egress",)
    return {key: each for key, each in spec.items() if key not in inert}


def difference(desired: Any, observed: Any, path: str = "") -> str | None:
    """Return a message for the first field that lacks the desired value; additional fields are no difference."""
    if not desired and observed in (None, "", [], {}, False):
        return None
    if isinstance(desired, Mapping) and isinstance(observed, Mapping):
        pairs = ((f"{path}.{key}", each, observed.get(key)) for key, each in desired.items())
        return next(filter(None, (difference(each, other, where) for where, each, other in pairs)), None)
    if isinstance(desired, list | tuple) and isinstance(observed, list | tuple):
        return _list_difference(desired, observed, path)
    if _is_equal(desired, observed, path):
        return None
    return f"{path.lstrip('.')} is {observed!r:.100}, not {desired!r:.100}"


def _list_difference(desired: list[Any] | tuple[Any, ...], observed: Any, path: str) -> str | None:
    key = next((key for key in _IDENTITIES if desired and _all_have(desired, key)), None)
    if key is not None and _all_have(observed, key):
        by_key = {each[key]: each for each in observed}
        pairs = [(f"{path}[{each[key]}]", each, by_key.get(each[key])) for each in desired]
    elif len(desired) == len(observed):
        pairs = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(desired, observed, strict=True))]
    else:
        return f"{path.lstrip('.')} has {len(observed)} elements, not {len(desired)}"
    return next(filter(None, (difference(each, other, where) for where, each, other in pairs)), None)


def _all_have(elements: Iterable[Any], key: str) -> bool:
    return all(isinstance(each, Mapping) and isinstance(each.get(key), str) for each in elements)


def _is_equal(desired: Any, observed: Any, path: str) -> bool:
    if desired == observed:
        return True
    if not any(f".{part}." in f"{path}." for part in _QUANTITIES) or observed is None:
        return False
    try:
        return parse_quantity(desired) == parse_quantity(observed)
    except ValueError:
        return False
