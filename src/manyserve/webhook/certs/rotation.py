"""Certificate rotation, from a self-signed Secret or from a folder that another program renews.

The source is refreshed every 10 s (`REFRESH_INTERVAL`), and a new pair is loaded into the server. An error of any kind
is logged and counted, and never ends the rotation: the pair in use stays until a later refresh succeeds.

A TLS context that loads a certificate with the wrong key refuses every later handshake, and a read in the middle of a
rotation gives such a pair. So a pair is first loaded into a context that is discarded. Then it is loaded, from the same
file, into the context that connections use. New connections get the new pair.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from manyserve.api.errors import StartupError
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import ClusterError, NotFound
from manyserve.webhook.certs.check import is_trusted, pair_problem
from manyserve.webhook.certs.issue import KeyPair
from manyserve.webhook.certs.objects import ensure_bundle, ensure_issued
from manyserve.webhook.metrics import Metrics

REFRESH_INTERVAL = 10.0
"""Seconds."""

_log = logging.getLogger(__name__)


class BadPairError(ValueError):
    """A certificate and a key do not match, or cannot be used."""


class ReloadableTls:
    """TLS context that reloads its certificate."""

    def __init__(self) -> None:
        self.context = new_context()
        self.pair: KeyPair | None = None
        """The pair in use."""

    def load(self, pair: KeyPair) -> bool:
        """Use a pair for new connections, and return whether it is a new one. Raises `BadPairError`."""
        if pair == self.pair:
            return False
        with tempfile.TemporaryDirectory(prefix="manyserve-") as folder:  # readable by this user alone
            file = Path(folder) / "pair.pem"
            file.write_bytes(pair.certificate.rstrip() + b"\n" + pair.key)
            try:
                new_context().load_cert_chain(file)
            except (ssl.SSLError, OSError) as error:
                raise BadPairError(f"the certificate and its key cannot be used: {error}") from error
            self.context.load_cert_chain(file)
        self.pair = pair
        return True


def new_context() -> ssl.SSLContext:
    """Return a server's TLS context without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class CertificateSource(Protocol):
    """Source of the server's certificate."""

    async def refresh(self) -> None:
        """Load a newer certificate, if there is one. Raises `ClusterError`, `BadPairError` or `OSError`."""


@dataclass(frozen=True)
class FileSource:
    """Loads `tls.crt` and `tls.key` from a folder that another program renews.

    A pair that a client would refuse is not loaded, since the pair in use may still be good. When the pair in use has
    expired, each refresh logs and counts it.
    """

    tls: ReloadableTls
    folder: Path
    hostname: str
    """The host name to which the API server connects."""
    clock: Callable[[], datetime]

    async def refresh(self) -> None:
        """Load the pair, if it is a new one."""
        pair = KeyPair((self.folder / "tls.crt").read_bytes(), (self.folder / "tls.key").read_bytes())
        if problem := pair_problem(pair, self.hostname, self.clock()):
            raise BadPairError(f"{self.folder}: {problem}")
        if self.tls.load(pair):
            _log.info("a new certificate was loaded from %s", self.folder)


@dataclass(frozen=True)
class SelfSignedSource:
    """Issues the certificate, shares it in a Secret, and registers its CA."""

    tls: ReloadableTls
    client: KubeClient
    namespace: str
    secret: str
    configuration: str
    names: Sequence[str]
    clock: Callable[[], datetime]

    async def refresh(self) -> None:
        """Renew, register and load, in this order, so that no leaf is served before its CA is trusted."""
        issued, wrote = await ensure_issued(self.client, self.namespace, self.secret, self.names, self.clock())
        if wrote:
            _log.info("a new certificate was written to Secret %s", self.secret)
        registered = await self._register(issued.bundle)
        if registered and self.tls.pair is not None and is_trusted(self.tls.pair, issued.bundle):
            return  # API servers need a moment to read the new CA; the next refresh loads the new leaf
        if self.tls.load(issued.leaf):
            _log.info("a new certificate was loaded from Secret %s", self.secret)

    async def _register(self, bundle: bytes) -> bool:
        try:
            changed = await ensure_bundle(self.client, self.configuration, bundle)
        except NotFound:
            _log.warning("ValidatingWebhookConfiguration %s is missing: no request is reviewed", self.configuration)
            return False
        if changed:
            _log.info("the CA was written to ValidatingWebhookConfiguration %s", self.configuration)
        return changed


async def first_refresh(source: CertificateSource) -> None:
    """Load the first certificate. Raises `StartupError`, since the webhook cannot serve without one."""
    try:
        await source.refresh()
    except NotFound as error:
        raise StartupError(
            f"the webhook has no Secret to keep its certificate in; install the chart: {error}"
        ) from error
    except (ClusterError, BadPairError, OSError) as error:
        raise StartupError(f"the webhook has no certificate: {error}") from error


async def run_rotation(source: CertificateSource, metrics: Metrics, tls: ReloadableTls) -> None:
    """Refresh every `REFRESH_INTERVAL`, until cancelled."""
    while True:
        await _refresh(source, metrics, tls)
        await asyncio.sleep(REFRESH_INTERVAL)


async def _refresh(source: CertificateSource, metrics: Metrics, tls: ReloadableTls) -> None:
    metrics.certificate_reads.inc()
    try:
        try:
            await source.refresh()
        except (ClusterError, BadPairError, OSError) as error:
            metrics.certificate_errors.inc()
            _log.warning("certificate refresh failed, the current certificate stays: %s", error)
        metrics.certificate(tls.pair)
    except Exception:  # noqa: BLE001  a defect in one refresh must not end the rotation: the leaf would expire
        metrics.certificate_errors.inc()
        _log.exception("certificate refresh failed, the current certificate stays")
