"""Prometheus registries of all programs: process metrics, build info, and no `_created` series."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Info, ProcessCollector, disable_created_metrics, generate_latest

from manyserve import version

METRICS_SECONDS = 1.0
"""Age of the oldest metrics in a response. Prometheus asks every 15 s at most."""
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

disable_created_metrics()  # type: ignore[no-untyped-call]


def new_registry() -> CollectorRegistry:
    """Return a registry with the metrics of all programs."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    add_build_info(registry)
    return registry


def add_build_info(registry: CollectorRegistry) -> None:
    """Register `manyserve_build_info`."""
    Info("manyserve_build", "Version of the running program.", registry=registry).info({"version": version()})


class MetricsPage:
    """Cached response with the metrics: a flood of requests costs one rendering in `METRICS_SECONDS`."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock
        self._body = b""
        self._until = float("-inf")

    def response(self) -> web.Response:
        """Return the metrics in Prometheus' text format."""
        now = self._clock()
        if now >= self._until:
            self._body, self._until = generate_latest(self._registry), now + METRICS_SECONDS
        return web.Response(body=self._body, headers={"Content-Type": _CONTENT_TYPE})


def metrics_response(registry: CollectorRegistry) -> web.Response:
    """Return the metrics in Prometheus' text format."""
    return web.Response(body=generate_latest(registry), headers={"Content-Type": _CONTENT_TYPE})
