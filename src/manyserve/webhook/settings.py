"""The webhook's settings: the environment in, one frozen object out, checked at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from manyserve.api.errors import StartupError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class WebhookSettings:
    """Everything that can be set; beside each its variable."""

    namespace: str
    """`POD_NAMESPACE`: where the Service, the Secret and `inferenceservice-config` are."""
    service: str = "manyserve-webhook"
    """`MANYSERVE_WEBHOOK_SERVICE`: the Service by which the API server comes; the certificate is for it."""
    secret: str = "manyserve-webhook-certificate"  # noqa: S105  its name, not its content
    """`MANYSERVE_WEBHOOK_SECRET`: the Secret in which our own certificate is kept."""
    configuration: str = "manyserve-webhook"
    """`MANYSERVE_WEBHOOK_CONFIGURATION`: the ValidatingWebhookConfiguration that is to trust it."""
    certificate_folder: Path | None = None
    """`MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER`: `tls.crt` and `tls.key` that somebody else renews."""
    port: int = 9443
    """`MANYSERVE_WEBHOOK_PORT`: reviews, over TLS."""
    metrics_port: int = 9090
    """`MANYSERVE_METRICS_PORT`: probes and metrics, plain."""
    log_level: str = "INFO"
    """`MANYSERVE_LOG_LEVEL`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names of the Service."""
        inside = f"{self.service}.{self.namespace}.svc"
        return (inside, f"{inside}.cluster.local", f"{self.service}.{self.namespace}", self.service)


def from_env(environ: Mapping[str, str]) -> WebhookSettings:
    """Return the settings. Raises `StartupError` with a sentence that names the wrong variable."""
    defaults = WebhookSettings(namespace="")
    folder = environ.get("MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER")
    return WebhookSettings(
        namespace=_needed(environ, "POD_NAMESPACE"),
        service=environ.get("MANYSERVE_WEBHOOK_SERVICE") or defaults.service,
        secret=environ.get("MANYSERVE_WEBHOOK_SECRET") or defaults.secret,
        configuration=environ.get("MANYSERVE_WEBHOOK_CONFIGURATION") or defaults.configuration,
        certificate_folder=_folder(folder) if folder else None,
        port=_port(environ, "MANYSERVE_WEBHOOK_PORT", defaults.port),
        metrics_port=_port(environ, "MANYSERVE_METRICS_PORT", defaults.metrics_port),
        log_level=_level(environ.get("MANYSERVE_LOG_LEVEL") or defaults.log_level),
    )


def _needed(environ: Mapping[str, str], variable: str) -> str:
    if not environ.get(variable):
        raise StartupError(f"{variable} is not set; it must be the namespace that the webhook runs in")
    return environ[variable]


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise StartupError(f"MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER={text!r} is not a folder")
    return Path(text)


def _port(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StartupError(f"{variable}={text!r} is not valid; it must be a port, 1 to 65535")
    return int(text)


def _level(text: str) -> str:
    if text.upper() not in LEVELS:
        raise StartupError(f"MANYSERVE_LOG_LEVEL={text!r} is not valid; it must be one of {', '.join(LEVELS)}")
    return text.upper()
