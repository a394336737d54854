"""Service, Ingress and HTTPRoute, which lead requests to a host's pods, and the URLs of hosts and models.

The Service of a heterogeneous host leads to its routers, which lead on to the pods with the model.

A host has an Ingress, or an HTTPRoute where a Gateway is configured. A host that is cluster-local has neither. Both
publish the paths for inference, metadata and health, and no path by which a server loads models. Those of a host with
`containers` are unknown, so all of them are published.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.servingconfig import PLACEHOLDER, IngressConfig, ServingConfig
from manyserve.plan.children.common import child
from manyserve.plan.observed import Child, Manifest
from manyserve.plan.servers.registry import server_kind
from manyserve.plan.visibility import is_cluster_local, is_exposed

ROUTING = ("Service", "Ingress", "HTTPRoute")
"""Kinds that lead requests to pods."""
_INSIDE_ONLY = (
    "or ingress.disableIngressCreation: true in inferenceservice-config, if all requests come from inside the cluster"
)
"""Remedy for a cluster without a way from outside."""


def build_service(host: InferenceService) -> Manifest:
    """Return the Service: it has the host's name, port 80 for HTTP and port 9000 for gRPC."""
    name = host.metadata.name
    selector = names.router_selector(name) if host.spec.predictor.is_heterogeneous else names.selector(name)
    ports = [
        {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
        {"name": "grpc", "port": names.GRPC_PORT, "targetPort": "grpc", "protocol": "TCP"},
    ]
    return child(host, "v1", "Service", name, spec={"selector": selector, "ports": ports})


def build_ingress(host: InferenceService, config: ServingConfig) -> Manifest | None:
    """Return the Ingress, or None when a Gateway is configured or the host is not exposed."""
    ingress = config.ingress
    if ingress.gateway or not is_exposed(host, ingress):
        return None
    key = Key(host.metadata.namespace, host.metadata.name)
    backend = {"service": {"name": key.name, "port": {"number": 80}}}
    public = server_kind(host.spec.predictor).public
    paths = [
        {"path": path.text, "pathType": "Prefix" if path.prefix else "Exact", "backend": backend} for path in public
    ]
    ingress_class = {"ingressClassName": ingress.ingress_class_name} if ingress.ingress_class_name else {}
    rules = [{"host": hostname(key, ingress), "http": {"paths": paths}}]
    return child(host, "networking.k8s.io/v1", "Ingress", key.name, spec=ingress_class | {"rules": rules})


def build_http_route(host: InferenceService, config: ServingConfig) -> Manifest | None:
    """Return the HTTPRoute, or None when no Gateway is configured or the host is not exposed."""
    ingress = config.ingress
    if not ingress.gateway or not is_exposed(host, ingress):
        return None
    key = Key(host.metadata.namespace, host.metadata.name)
    namespace, _, name = ingress.gateway.partition("/")
    matches = [
        {"path": {"type": "PathPrefix" if path.prefix else "Exact", "value": path.text}}
        for path in server_kind(host.spec.predictor).public
    ]
    spec = {
        "parentRefs": [{"namespace": namespace, "name": name}],
        "hostnames": [hostname(key, ingress)],
        "rules": [{"matches": matches, "backendRefs": [{"name": key.name, "port": 80}]}],
    }
    return child(host, "gateway.networking.k8s.io/v1", "HTTPRoute", key.name, spec=spec)


def is_routed(host: InferenceService, config: ServingConfig, children: Container[Child]) -> bool:
    """Return whether the host's own Service and Ingress, or HTTPRoute, exist, so that requests come to its pods."""
    wanted = (build_service(host), build_ingress(host, config), build_http_route(host, config))
    return all(Child(each["kind"], each["metadata"]["name"]) in children for each in wanted if each is not None)


def ingress_error(ingress: Manifest | None) -> str | None:
    """Return the message for an Ingress without an address from its controller, or None."""
    if ingress is None:
        return "the Ingress does not exist yet"
    if ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return None
    ingress_class = (ingress.get("spec") or {}).get("ingressClassName") or "the default class"
    return (
        f"no ingress controller has given the Ingress an address yet (class: {ingress_class}); "
        f"it needs a controller for that class, {_INSIDE_ONLY}"
    )


def http_route_error(route: Manifest | None) -> str | None:
    """Return the message for an HTTPRoute that its Gateway has not accepted, or None."""
    if route is None:
        return "the HTTPRoute does not exist yet"
    for parent in _objects(route.get("status"), "parents"):
        for condition in _objects(parent, "conditions"):
            if condition.get("type") == "Accepted":
                accepted = condition.get("status") == "True"
                return None if accepted else f"the Gateway refused the HTTPRoute: {condition.get('message', '')}"
    gateway = next((f"{each.get('namespace')}/{each.get('name')}" for each in _parents(route)), "the Gateway")
    return (
        f"no Gateway has accepted the HTTPRoute yet; it needs the Gateway {gateway} and a controller for it, "
        f"{_INSIDE_ONLY}"
    )


def _parents(route: Manifest) -> list[Manifest]:
    return _objects(route.get("spec"), "parentRefs")


def _objects(parent: object, field: str) -> list[Manifest]:
    """Return the objects in a list field; the CRD of another Gateway API release may allow any value there."""
    values = parent.get(field) if isinstance(parent, Mapping) else None
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def hostname(key: Key, ingress: IngressConfig) -> str:
    """Return the DNS name of the host outside the cluster."""
    values = {"Name": key.name, "Namespace": key.namespace, "IngressDomain": ingress.ingress_domain}
    return PLACEHOLDER.sub(lambda match: values[match[1]], ingress.domain_template)


def host_url(host: InferenceService, ingress: IngressConfig) -> str:
    """Return the URL of the host for its clients: outside the cluster, unless the host is cluster-local."""
    key = Key(host.metadata.namespace, host.metadata.name)
    return host_address(key) if is_cluster_local(host, ingress) else f"{ingress.url_scheme}://{hostname(key, ingress)}"


def host_address(key: Key) -> str:
    """Return the URL of the host inside the cluster."""
    return f"http://{key.name}.{key.namespace}.svc.cluster.local"


def model_path(model: str, protocol: str) -> str:
    """Return the URL path of a model's inference endpoint in the protocol of its server."""
    return f"/v1/models/{model}:predict" if protocol == "v1" else f"/v2/models/{model}/infer"
