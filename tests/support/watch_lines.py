"""Lines of a watch, as the API server sends them."""

from __future__ import annotations

import json
from typing import Any

Manifest = dict[str, Any]


def model(name: str, version: int, **spec: Any) -> Manifest:
    """Return a short TrainedModel as the API server lists it."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"kind": "TrainedModel", "metadata": metadata, "spec": spec}


def event(sort: str, item: Manifest) -> bytes:
    """Return a line of a watch."""
    return json.dumps({"type": sort, "object": item}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    """Return a bookmark."""
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def expired() -> bytes:
    """Return the error line for a resourceVersion that is too old."""
    return event("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
