"""Prometheus metrics of the webhook."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from manyserve.prometheus import new_registry
from manyserve.webhook.certs.check import expiry
from manyserve.webhook.certs.issue import KeyPair

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """The metrics of one webhook process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = new_registry()
        self.reviews = Counter(
            "manyserve_webhook_reviews", "Reviews answered.", ["kind", "verdict", "reason"], registry=registry
        )
        self.bad_requests = Counter(
            "manyserve_webhook_bad_requests", "Requests without a readable review.", registry=registry
        )
        self.seconds = Histogram(
            "manyserve_webhook_review_duration_seconds", "Duration of one review.", buckets=_SECONDS, registry=registry
        )
        self.certificate_expiry = Gauge(
            "manyserve_webhook_certificate_expiry_timestamp_seconds",
            "Expiry of the certificate in use.",
            registry=registry,
        )
        self.certificate_errors = Counter(
            "manyserve_webhook_certificate_errors",
            "Failed renewals of the certificate; the certificate in use stays.",
            registry=registry,
        )
        self.config_errors = Counter(
            "manyserve_webhook_config_errors",
            "Invalid edits of inferenceservice-config; the last valid configuration stays.",
            registry=registry,
        )

    def certificate(self, pair: KeyPair | None) -> None:
        """Set the gauge to the expiry of the certificate in use."""
        if pair is not None:
            self.certificate_expiry.set(expiry(pair).timestamp())
