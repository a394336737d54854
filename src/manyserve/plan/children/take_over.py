"""Take-over of the children that another controller made for a host.

KServe's Service, Ingress and HTTPRoute have the names of ours. They lead to pods that answer, so they stay unchanged
until the host's own Deployment is available. The functions here decide on objects that a live GET returned.
"""

from __future__ import annotations

from typing import Any

from manyserve.api.names import APPLIED_HASH, MANAGED_BY, MANAGER
from manyserve.plan.observed import Child, Manifest


def is_foreign(live: Manifest) -> bool:
    """Return whether another controller made an object; the annotation identifies one of ours without its label."""
    metadata = live["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return bool(labels.get(MANAGED_BY) != MANAGER and APPLIED_HASH not in annotations)


def pending_message(child: Child) -> str:
    """Return the message for a child that leads requests to another controller's pods."""
    return f"{child.kind} {child.name} belongs to another controller until the Deployment is ready"


def immutable_error(live: Manifest, desired: Manifest) -> str | None:
    """Return the error for an object that cannot become the desired one, with the command that deletes it, or None."""
    kind, name, spec = desired["kind"], desired["metadata"]["name"], live.get("spec") or {}
    command = f"kubectl delete {kind.lower()} {name}"
    if kind == "Service" and spec.get("clusterIP") == "None":
        return f"it is headless (clusterIP: None), which cannot be changed; {command} lets the host's own replace it"
    if kind == "Deployment" and spec.get("selector") != desired["spec"]["selector"]:
        return (
            "it is another controller's with another selector, which cannot be changed; "
            f"{command} --cascade=orphan lets the host's own replace it, and its pods still answer"
        )
    return None


def pre_apply_patch(live: Manifest, desired: Manifest) -> dict[str, Any] | None:
    """Return the merge patch that must come before the server-side apply, or None.

    An apply merges the desired ports of a Service with the live ones, and leaves its type. The patch replaces ports and
    selector as a whole in one write. An alias of another name (type ExternalName) becomes a Service with an address.
    """
    if desired["kind"] != "Service":
        return None
    spec = live.get("spec") or {}
    selector = dict.fromkeys(spec.get("selector") or {}) | desired["spec"]["selector"]
    alias = {"type": "ClusterIP", "externalName": None} if spec.get("type") == "ExternalName" else {}
    metadata = {"resourceVersion": live["metadata"]["resourceVersion"]}
    return {"metadata": metadata, "spec": alias | {"selector": selector, "ports": desired["spec"]["ports"]}}
