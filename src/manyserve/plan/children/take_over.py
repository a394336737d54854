"""Take over the children that another controller made for a host.

KServe's Service, Ingress and HTTPRoute have the names of ours. While the host's own Deployment is not available, they
lead to pods that answer, so they stay as they are. The functions here decide on objects that a live GET returned.
"""

from __future__ import annotations

from typing import Any

from manyserve.api.names import APPLIED_HASH, MANAGED_BY, MANAGER
from manyserve.plan.observed import Child, Manifest

ROUTING = ("Service", "Ingress", "HTTPRoute")
"""The kinds that lead requests to pods."""


def is_foreign(found: Manifest) -> bool:
    """Return whether another controller made an object; one of ours without its label has our annotation still."""
    metadata = found["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return bool(labels.get(MANAGED_BY) != MANAGER and APPLIED_HASH not in annotations)


def why_not_yet(child: Child) -> str:
    """Return the sentence about a child that leads requests to another controller's pods."""
    return f"{child.kind} {child.name} is another controller's until the Deployment is ready"


def why_never(found: Manifest, wanted: Manifest) -> str | None:
    """Return why an object cannot be changed into the wanted one, and which command ends that; None when it can."""
    kind, name, spec = wanted["kind"], wanted["metadata"]["name"], found.get("spec") or {}
    command = f"kubectl delete {kind.lower()} {name}"
    if kind == "Service" and spec.get("clusterIP") == "None":
        return f"it is headless (clusterIP: None), which cannot be changed; {command} makes way for the host's own"
    if kind == "Deployment" and spec.get("selector") != wanted["spec"]["selector"]:
        return (
            "it is another controller's with another selector, which cannot be changed; "
            f"{command} --cascade=orphan makes way for the host's own, and its pods go on answering"
        )
    return None


def replacement(found: Manifest, wanted: Manifest) -> dict[str, Any] | None:
    """Return the merge patch that must come before the server-side apply, or None.

    An apply merges the ports of a Service with those that stand there, and leaves its type. The patch replaces ports
    and selector as a whole in one write. A Service that is an alias of another name (ExternalName) gets an address.
    """
    if wanted["kind"] != "Service":
        return None
    spec = found.get("spec") or {}
    selector = dict.fromkeys(spec.get("selector") or {}) | wanted["spec"]["selector"]
    alias = {"type": "ClusterIP", "externalName": None} if spec.get("type") == "ExternalName" else {}
    metadata = {"resourceVersion": found["metadata"]["resourceVersion"]}
    return {"metadata": metadata, "spec": alias | {"selector": selector, "ports": wanted["spec"]["ports"]}}
