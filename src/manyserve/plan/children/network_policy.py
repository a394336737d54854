"""NetworkPolicies of a host: which peers reach which ports of its pods. The configuration turns them on.

Requests are open to the configured peers. Those to the pods of a heterogeneous host come from its routers only. The
agents' port is open to the operator and the routers, and the port of the router programs to the operator. Peers for
metrics reach the ports with metrics. No other port is open, so that Envoy's own port has no peers at all. Probes and
hooks come from the pod's node, which no policy stops.

There are no rules of egress, since stores may be anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from manyserve.api import names
from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.networkpolicyconfig import NetworkPolicyConfig, Peer
from manyserve.api.routerenv import ROUTER_PORT
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.common import child
from manyserve.plan.observed import Manifest
from manyserve.plan.servers.ports import http_port

_Rule = dict[str, Any]


def build_network_policies(host: InferenceService, config: ServingConfig) -> list[Manifest]:
    """Return the policy of the pods with models, and that of the routers of a heterogeneous host."""
    given = config.hosts.network_policy
    if given is None or not given.enabled:
        return []
    if not host.spec.predictor.is_heterogeneous:
        return [_of_models(host, given, given.sources, given.operator)]
    routers = Peer.model_validate({"podSelector": {"matchLabels": names.router_selector(host.metadata.name)}})
    return [_of_models(host, given, (routers,), (*given.operator, routers)), _of_routers(host, given)]


def _of_models(
    host: InferenceService, given: NetworkPolicyConfig, clients: Iterable[Peer], of_agent: Iterable[Peer]
) -> Manifest:
    name = host.metadata.name
    rules = [_rule(clients, http_port(host), names.GRPC_PORT), _rule(of_agent, AGENT_PORT)]
    rules += [_rule(given.metrics_from, AGENT_PORT, names.METRICS_PORT)] if given.metrics_from else []
    return _policy(host, names.network_policy(name), names.selector(name), rules)


def _of_routers(host: InferenceService, given: NetworkPolicyConfig) -> Manifest:
    name = host.metadata.name
    rules = [_rule(given.sources, names.HTTP_PORT, names.GRPC_PORT), _rule(given.operator, ROUTER_PORT)]
    rules += [_rule(given.metrics_from, ROUTER_PORT)] if given.metrics_from else []
    return _policy(host, names.router(name), names.router_selector(name), rules)


def _policy(host: InferenceService, name: str, selector: dict[str, str], rules: list[_Rule]) -> Manifest:
    spec = {"podSelector": {"matchLabels": selector}, "policyTypes": ["Ingress"], "ingress": rules}
    return child(host, "networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)


def _rule(peers: Iterable[Peer], *ports: int) -> _Rule:
    """Return the rule that opens ports to peers; without any peer it opens them to all."""
    sources = [peer.to_wire() for peer in peers]
    rule = {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}
    return rule | {"from": sources} if sources else rule
