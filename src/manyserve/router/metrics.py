"""Prometheus metrics of the router program."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from manyserve.prometheus import new_registry

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """All metrics of one router."""

    def __init__(self) -> None:
        self.registry = registry = new_registry()
        self.route_seconds = Histogram(
            "manyserve_router_route_seconds",
            "Time from an agent's report until Envoy has acknowledged it.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.models = Gauge("manyserve_router_models", "Models with an endpoint.", registry=registry)
        self.agents = Gauge(
            "manyserve_router_agents", "Agents of the host's pods, by state.", ["state"], registry=registry
        )
        self.polls = Counter("manyserve_router_polls", "Polls of agents, by result.", ["result"], registry=registry)
        self.acks = Counter("manyserve_router_xds_acks", "Updates that Envoy acknowledged.", registry=registry)
        self.nacks = Counter("manyserve_router_xds_nacks", "Updates that Envoy refused.", registry=registry)
        self.activator = Counter(
            "manyserve_router_activator_requests",
            "Requests without an endpoint of their model, by answer.",
            ["answer"],
            registry=registry,
        )
        self.pods_error = Gauge(
            "manyserve_router_pods_error", "1 while the mounted pods.json is invalid, else 0.", registry=registry
        )
        self.ready = Gauge("manyserve_router_ready", "1 while the router is ready, else 0.", registry=registry)
