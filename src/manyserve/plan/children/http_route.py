"""The HTTPRoute of a host, where a Gateway is configured, and when the Gateway has taken it up."""

from __future__ import annotations

from collections.abc import Mapping

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.common import child
from manyserve.plan.children.urls import host_name
from manyserve.plan.observed import Manifest


def build_http_route(host: InferenceService, config: ServingConfig) -> Manifest | None:
    """Return the HTTPRoute, or None when no gateway is configured or ingresses are switched off."""
    ingress = config.ingress
    if not ingress.gateway or ingress.disable_ingress_creation:
        return None
    key = Key(host.metadata.namespace, host.metadata.name)
    namespace, _, name = ingress.gateway.partition("/")
    spec = {
        "parentRefs": [{"namespace": namespace, "name": name}],
        "hostnames": [host_name(key, ingress)],
        "rules": [{"backendRefs": [{"name": key.name, "port": 80}]}],
    }
    return child(host, "gateway.networking.k8s.io/v1", "HTTPRoute", key.name, spec=spec)


def why_route_not_ready(route: Manifest | None) -> str | None:
    """Return the sentence for an HTTPRoute that its Gateway has not accepted, or None."""
    if route is None:
        return "the HTTPRoute does not exist yet"
    for parent in _objects(route.get("status"), "parents"):
        for condition in _objects(parent, "conditions"):
            if condition.get("type") == "Accepted":
                accepted = condition.get("status") == "True"
                return None if accepted else f"the Gateway refused the HTTPRoute: {condition.get('message', '')}"
    return "no Gateway has accepted the HTTPRoute yet"


def _objects(holder: object, field: str) -> list[Manifest]:
    """Return the objects in a list; another release's CRD may let anything stand there."""
    found = holder.get(field) if isinstance(holder, Mapping) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
