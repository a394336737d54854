"""Prometheus metrics of the webhook. Those of the requests at /validate have controller-runtime's names."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import Counter, Gauge, Histogram

from manyserve.prometheus import ApiRequests, new_registry
from manyserve.webhook.certs.check import expiry
from manyserve.webhook.certs.issue import KeyPair

PATH = "/validate"
"""The path of the reviews, and the value of the label `webhook`."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """The metrics of one webhook process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = new_registry()
        self.api_requests = ApiRequests(registry)
        self._requests = Counter(
            "controller_runtime_webhook_requests",
            "Requests at the path of the reviews, by status code.",
            ["webhook", "code"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "controller_runtime_webhook_requests_in_flight",
            "Requests that are being answered.",
            ["webhook"],
            registry=registry,
        ).labels(PATH)
        self._seconds = Histogram(
            "controller_runtime_webhook_latency_seconds",
            "Time from the headers of a request until its response.",
            ["webhook"],
            buckets=_SECONDS,
            registry=registry,
        ).labels(PATH)
        self.reviews = Counter(
            "manyserve_webhook_reviews", "Reviews answered.", ["kind", "verdict", "reason"], registry=registry
        )
        self.certificate_expiry = Gauge(
            "manyserve_webhook_certificate_expiry_timestamp_seconds",
            "Expiry of the certificate in use.",
            registry=registry,
        )
        self.certificate_reads = Counter(
            "certwatcher_read_certificate", "Refreshes of the certificate.", registry=registry
        )
        self.certificate_errors = Counter(
            "certwatcher_read_certificate_errors",
            "Failed refreshes of the certificate; the certificate in use stays.",
            registry=registry,
        )
        self.config_errors = Counter(
            "manyserve_webhook_config_errors",
            "Invalid edits of inferenceservice-config; the last valid configuration stays.",
            registry=registry,
        )

    def measured(self, handler: Handler) -> Handler:
        """Return a handler of reviews that is counted and timed; a request that its client drops has no code."""

        async def handle(request: web.Request) -> web.StreamResponse:
            with self._in_flight.track_inprogress(), self._seconds.time():
                response = await handler(request)
            self._requests.labels(PATH, str(response.status)).inc()
            return response

        return handle

    def certificate(self, pair: KeyPair | None) -> None:
        """Set the gauge to the expiry of the certificate in use."""
        if pair is not None:
            self.certificate_expiry.set(expiry(pair).timestamp())
