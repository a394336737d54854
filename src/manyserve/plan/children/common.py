"""What every object that we make for a host has in common, and when one must be written again.

An object is applied when it is missing, when what we want changed since we last applied it (a hash in an
annotation tells, so fields that we stop wanting go too), or when somebody else changed a field of ours.
The comparison says what differs, not only that something does: half the log is written by it.
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
"""Owners go by uid, since hosts that follow each other have the same name; everything else in lists by name."""


def owner_reference(host: InferenceService) -> dict[str, Any]:
    """Return the reference by which the host owns an object, so that it goes when the host goes."""
    return {
        "apiVersion": f"{names.GROUP}/v1beta1",
        "kind": "InferenceService",
        "name": host.metadata.name,
        "uid": host.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def child(host: InferenceService, api_version: str, kind: str, name: str, **parts: Any) -> Manifest:
    """Return an object that belongs to the host; `parts` are its top-level fields beside the metadata."""
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
    """Tell whether this very host owns the object, not an earlier one of the same name.

    One with our labels that nobody owns is the host's, too: somebody took the reference away, or left the object
    behind (`--cascade=orphan`) when an earlier host was deleted.
    """
    owners, labels = manifest["metadata"].get("ownerReferences") or (), manifest["metadata"].get("labels") or {}
    if not owners:
        return names.labels(host.metadata.name).items() <= labels.items()
    return any(owner.get("uid") == host.metadata.uid for owner in owners)


def with_hash(manifest: Manifest) -> Manifest:
    """Return the object with the hash of what we want in an annotation."""
    annotations = manifest["metadata"].get("annotations", {}) | {names.APPLIED_HASH: digest(manifest)}
    return manifest | {"metadata": manifest["metadata"] | {"annotations": annotations}}


def digest(value: Any) -> str:
    """Return a short hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def first_difference(wanted: Manifest, observed: Manifest | None) -> str | None:
    """Return the first reason to apply the (stamped) object, or None when all of it stands already."""
    if observed is None:
        return "it does not exist"
    return difference(wanted, observed)


def difference(wanted: Any, observed: Any, path: str = "") -> str | None:
    """Return where the observed value lacks what is wanted, as a sentence; more than wanted is no difference."""
    if not wanted and observed in (None, "", [], {}, False):
        return None
    if isinstance(wanted, Mapping) and isinstance(observed, Mapping):
        pairs = ((f"{path}.{key}", each, observed.get(key)) for key, each in wanted.items())
        return next(filter(None, (difference(each, other, where) for where, each, other in pairs)), None)
    if isinstance(wanted, list | tuple) and isinstance(observed, list | tuple):
        return _list_difference(wanted, observed, path)
    return None if _same(wanted, observed, path) else f"{path.lstrip('.')} is {observed!r:.100}, not {wanted!r:.100}"


def _list_difference(wanted: list[Any] | tuple[Any, ...], observed: Any, path: str) -> str | None:
    key = next((key for key in _IDENTITIES if wanted and _are_told_apart(wanted, key)), None)
    if key is not None and _are_told_apart(observed, key):
        known = {each[key]: each for each in observed}
        pairs = [(f"{path}[{each[key]}]", each, known.get(each[key])) for each in wanted]
    elif len(wanted) == len(observed):
        pairs = [(f"{path}[{index}]", *both) for index, both in enumerate(zip(wanted, observed, strict=True))]
    else:
        return f"{path.lstrip('.')} has {len(observed)} elements, not {len(wanted)}"
    return next(filter(None, (difference(each, other, where) for where, each, other in pairs)), None)


def _are_told_apart(elements: Iterable[Any], key: str) -> bool:
    return all(isinstance(each, Mapping) and isinstance(each.get(key), str) for each in elements)


def _same(wanted: Any, observed: Any, path: str) -> bool:
    if wanted == observed:
        return True
    if not any(f".{part}." in f"{path}." for part in _QUANTITIES) or observed is None:
        return False
    try:
        return parse_quantity(wanted) == parse_quantity(observed)
    except ValueError:
        return False
