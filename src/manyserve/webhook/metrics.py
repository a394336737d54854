"""What the webhook counts: answers, their seconds, and how long its certificate lasts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from manyserve.webhook.certificates import expiry
from manyserve.webhook.issuing import Pair

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """The metrics of one webhook process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reviews = Counter(
            "manyserve_webhook_reviews", "Reviews answered.", ["kind", "verdict"], registry=self.registry
        )
        self.bad_requests = Counter(
            "manyserve_webhook_bad_requests", "Requests that were no review.", registry=self.registry
        )
        self.seconds = Histogram(
            "manyserve_webhook_seconds", "Seconds a review took.", buckets=_SECONDS, registry=self.registry
        )
        self.certificate_expiry = Gauge(
            "manyserve_webhook_certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends.",
            registry=self.registry,
        )
        self.certificate_errors = Counter(
            "manyserve_webhook_certificate_errors",
            "Looks for a new certificate that failed; the one that is served stays.",
            registry=self.registry,
        )
        self.config_errors = Counter(
            "manyserve_webhook_config_errors",
            "Edits of inferenceservice-config that cannot be used; the last good one stays.",
            registry=self.registry,
        )

    def certificate(self, pair: Pair | None) -> None:
        """Show when the certificate that is served ends."""
        if pair is not None:
            self.certificate_expiry.set(expiry(pair).timestamp())

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
