"""Prometheus registries of all programs: process metrics, build info, and no `_created` series.

Where client-go or controller-runtime has a metric for the same thing, its name and its labels are taken, so that their
dashboards and alerts work.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from manyserve import version

METRICS_SECONDS = 1.0
"""Age of the oldest metrics in a response. Prometheus asks every 15 s at most."""
NO_RESPONSE = "<error>"
"""The status code of a request without a response, as in client-go."""
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10)

disable_created_metrics()  # type: ignore[no-untyped-call]


def new_registry() -> CollectorRegistry:
    """Return a registry with the metrics of all programs."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    info = Info("manyserve_build", "Version of the running program.", registry=registry)
    info.info({"version": version()})
    return registry


class ApiRequests:
    """Counts the requests to the API server, with client-go's names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            "rest_client_requests",
            "Requests to the API server, by status code and method.",
            ["code", "method", "host"],
            registry=registry,
        )
        self._seconds = Histogram(
            "rest_client_request_duration_seconds",
            "Time until the response of the API server, or until the first byte of a watch.",
            ["verb", "host"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )

    def observe(self, host: str, method: str, code: int | None, seconds: float) -> None:
        """Count one request; without a response it has no code."""
        self._total.labels(NO_RESPONSE if code is None else str(code), method, host).inc()
        self._seconds.labels(method, host).observe(seconds)


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
