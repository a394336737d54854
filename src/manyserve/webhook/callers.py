"""Authentication of the callers of `POST /validate`, by their client certificate.

An API server presents one if its `--admission-control-config-file` has a kubeconfig for the webhook. Without a CA in
the settings any client may post reviews. The kubelet's probes have no certificate, so the handshake requests one and
does not require it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from manyserve.api.errors import StartupError


@dataclass(frozen=True)
class Callers:
    """The callers that may post reviews."""

    authority: Path | None = None
    """The file with the CA of their certificates, PEM; None: anybody may post reviews."""
    names: tuple[str, ...] = ()
    """Common names, or DNS names, of their certificates; empty: each certificate of the CA."""

    def trust(self, context: ssl.SSLContext) -> None:
        """Have a TLS context request client certificates of the CA. Raises `StartupError`."""
        if self.authority is None:
            return
        try:
            context.load_verify_locations(cafile=self.authority)
        except (OSError, ssl.SSLError) as error:
            raise StartupError(f"the CA of the API server's client certificate cannot be read: {error}") from error
        context.verify_mode = ssl.CERT_OPTIONAL

    def error(self, request: web.Request) -> str | None:
        """Return the sentence for a caller that may not post reviews, or None."""
        if self.authority is None:
            return None
        certificate = request.get_extra_info("peercert")
        if not certificate:
            return "the request has no client certificate; only the API server may post reviews"
        if self.names and not set(self.names) & set(_names(certificate)):
            return f"the client certificate has none of the names {', '.join(self.names)}"
        return None


ANYBODY = Callers()


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    """Yield the common names and the DNS names of a certificate, as `ssl.SSLSocket.getpeercert` returns it."""
    for part in certificate.get("subject", ()):
        yield from (value for key, value in part if key == "commonName")
    yield from (value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS")
