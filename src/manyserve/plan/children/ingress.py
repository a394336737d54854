"""The Ingress of a host, and when a controller has taken it up."""

from __future__ import annotations

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.common import child
from manyserve.plan.children.urls import host_name
from manyserve.plan.observed import Manifest


def build_ingress(host: InferenceService, config: ServingConfig) -> Manifest | None:
    """Return the Ingress, or None when a gateway is configured or ingresses are switched off."""
    ingress = config.ingress
    if ingress.gateway or ingress.disable_ingress_creation:
        return None
    key = Key(host.metadata.namespace, host.metadata.name)
    backend = {"service": {"name": key.name, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    chosen = {"ingressClassName": ingress.ingress_class_name} if ingress.ingress_class_name else {}
    rules = [{"host": host_name(key, ingress), "http": {"paths": paths}}]
    return child(host, "networking.k8s.io/v1", "Ingress", key.name, spec=chosen | {"rules": rules})


def why_ingress_not_ready(ingress: Manifest | None) -> str | None:
    """Return the sentence for an Ingress that no controller has taken up yet, or None."""
    if ingress is None:
        return "the Ingress does not exist yet"
    if ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return None
    chosen = (ingress.get("spec") or {}).get("ingressClassName") or "the default class"
    return f"no ingress controller has given the Ingress an address yet (class: {chosen})"
