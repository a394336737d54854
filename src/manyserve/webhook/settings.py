"""Settings of the webhook."""

from __future__ import annotations

from pydantic import Field

from manyserve.settings_env import ScopedSettings, env
from manyserve.settings_types import AbsolutePath, Flag, Folder, LogLevel, Names, Port


class WebhookSettings(ScopedSettings):
    """Settings of `manyserve webhook`."""

    namespace: str = Field(validation_alias="POD_NAMESPACE", description="the namespace that the webhook runs in")
    """The namespace of the Service, the Secret and `inferenceservice-config`."""
    service: str = env("MANYSERVE_WEBHOOK_SERVICE", default="manyserve-webhook")
    """The Service that the API server calls; the certificate is for its DNS names."""
    secret: str = env("MANYSERVE_WEBHOOK_SECRET", default="manyserve-webhook-certificate")
    """The name of the Secret with the self-signed certificate."""
    configuration: str = env("MANYSERVE_WEBHOOK_CONFIGURATION", default="manyserve-webhook")
    """The ValidatingWebhookConfiguration that gets the CA bundle."""
    certificate_folder: Folder | None = env("MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER", default=None)
    """The folder of `tls.crt` and `tls.key`, which another program renews; None: self-signed."""
    client_ca: AbsolutePath | None = env("MANYSERVE_WEBHOOK_CLIENT_CA", default=None)
    """The file with the CA of the API server's client certificate; None: any client may post reviews."""
    client_names: Names = env("MANYSERVE_WEBHOOK_CLIENT_NAMES", default=())
    """Names in that certificate; empty: each certificate of the CA."""
    port: Port = env("MANYSERVE_WEBHOOK_PORT", default=9443)
    """The port of reviews, with TLS."""
    metrics_port: Port = env("MANYSERVE_METRICS_PORT", default=9090)
    """The port of probes and metrics, without TLS."""
    refuse_unmanaged: Flag = env("MANYSERVE_REFUSE_UNMANAGED", default=True)
    """Whether the creation of an unmanaged InferenceService is refused."""
    log_level: LogLevel = env("MANYSERVE_LOG_LEVEL", default="INFO")

    @property
    def names(self) -> tuple[str, ...]:
        """The DNS names of the Service."""
        inside = f"{self.service}.{self.namespace}.svc"
        return (inside, f"{inside}.cluster.local", f"{self.service}.{self.namespace}", self.service)
