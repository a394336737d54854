"""The webhook's settings: the environment in, one frozen object out, checked at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from manyserve import environment
from manyserve.api.errors import StartupError
from manyserve.api.scope import EVERYWHERE, Scope

Value = TypeVar("Value", int, str, bool)


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
    scope: Scope = EVERYWHERE
    """`MANYSERVE_WATCH_NAMESPACES` or `MANYSERVE_NAMESPACE_SELECTOR`: where objects are judged; unset: everywhere."""
    port: int = 9443
    """`MANYSERVE_WEBHOOK_PORT`: reviews, over TLS."""
    metrics_port: int = 9090
    """`MANYSERVE_METRICS_PORT`: probes and metrics, plain."""
    refuse_unmanaged: bool = True
    """`MANYSERVE_REFUSE_UNMANAGED`: whether the create of an InferenceService that we do not manage is refused."""
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
        scope=Scope.from_env(environ),
        port=_read(environ, "MANYSERVE_WEBHOOK_PORT", environment.port, defaults.port),
        metrics_port=_read(environ, "MANYSERVE_METRICS_PORT", environment.port, defaults.metrics_port),
        refuse_unmanaged=_read(environ, "MANYSERVE_REFUSE_UNMANAGED", environment.flag, defaults.refuse_unmanaged),
        log_level=_read(environ, "MANYSERVE_LOG_LEVEL", environment.level, defaults.log_level),
    )


def _needed(environ: Mapping[str, str], variable: str) -> str:
    if not environ.get(variable):
        raise StartupError(f"{variable} is not set; it must be the namespace that the webhook runs in")
    return environ[variable]


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise StartupError(f"MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER={text!r} is not a folder")
    return Path(text)


def _read(environ: Mapping[str, str], variable: str, parse: Callable[[str], Value], default: Value) -> Value:
    text = environ.get(variable) or str(default)
    try:
        return parse(text)
    except ValueError as error:
        raise StartupError(f"{variable}={text!r} is not valid; it {error}") from None
