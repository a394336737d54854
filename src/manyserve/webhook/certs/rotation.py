"""Who keeps the certificate: ourselves, by a Secret that we fill, or somebody else, by a folder that is mounted.

Either looks every ten seconds and gives the server a new pair when there is one. Trouble of any kind is logged
and counted and never ends the watch: the pair that is served stays, and the next look may find better.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from manyserve.api.errors import StartupError
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import ClusterError, NotFound
from manyserve.webhook.certs.ca_bundle import ensure_bundle
from manyserve.webhook.certs.check import is_trusted, why_not_accepted
from manyserve.webhook.certs.issue import KeyPair
from manyserve.webhook.certs.reload import BadPairError, ReloadableTls
from manyserve.webhook.certs.secret import ensure_issued
from manyserve.webhook.metrics import Metrics

SECONDS = 10.0

_log = logging.getLogger(__name__)


class CertificateSource(Protocol):
    """Gives the server its certificate."""

    async def refresh(self) -> None:
        """Look once. Raises `ClusterError`, `BadPairError` or `OSError`."""


@dataclass(frozen=True)
class FileSource:
    """Takes `tls.crt` and `tls.key` from a folder that somebody else renews.

    One that a client would refuse is not taken while there is an older one: that may be good for some time yet.
    When the one that is served is the bad one, each look says so and is counted.
    """

    tls: ReloadableTls
    folder: Path
    name: str
    """By which the API server comes."""
    clock: Callable[[], datetime]

    async def refresh(self) -> None:
        """Load the pair, if it is another one."""
        pair = KeyPair((self.folder / "tls.crt").read_bytes(), (self.folder / "tls.key").read_bytes())
        if why_not := why_not_accepted(pair, self.name, self.clock()):
            raise BadPairError(f"{self.folder}: {why_not}")
        if self.tls.load(pair):
            _log.info("a new certificate was loaded from %s", self.folder)


@dataclass(frozen=True)
class SelfSignedSource:
    """Issues the certificate, shares it by a Secret, and registers its CA."""

    tls: ReloadableTls
    client: KubeClient
    namespace: str
    secret: str
    configuration: str
    names: Sequence[str]
    clock: Callable[[], datetime]

    async def refresh(self) -> None:
        """Renew, register and load, in this order: no leaf is served before its CA is trusted."""
        issued, wrote = await ensure_issued(self.client, self.namespace, self.secret, self.names, self.clock())
        if wrote:
            _log.info("a new certificate was written to Secret %s", self.secret)
        registered = await self._register(issued.bundle)
        if registered and self.tls.pair is not None and is_trusted(self.tls.pair, issued.bundle):
            return  # API servers hear of the new CA in a moment; the new leaf is served from the next look on
        if self.tls.load(issued.leaf):
            _log.info("a new certificate was loaded from Secret %s", self.secret)

    async def _register(self, bundle: bytes) -> bool:
        try:
            changed = await ensure_bundle(self.client, self.configuration, bundle)
        except NotFound:
            _log.warning("ValidatingWebhookConfiguration %s is missing: nobody asks this webhook", self.configuration)
            return False
        if changed:
            _log.info("the CA was written to ValidatingWebhookConfiguration %s", self.configuration)
        return changed


async def first_refresh(keeper: CertificateSource) -> None:
    """Look for the first time. Raises `StartupError`: without a certificate there is nothing to serve."""
    try:
        await keeper.refresh()
    except NotFound as error:
        raise StartupError(
            f"the webhook has no Secret to keep its certificate in; install the chart: {error}"
        ) from error
    except (ClusterError, BadPairError, OSError) as error:
        raise StartupError(f"the webhook has no certificate: {error}") from error


async def run_rotation(keeper: CertificateSource, metrics: Metrics, tls: ReloadableTls) -> None:
    """Look every ten seconds, until cancelled."""
    while True:
        await _turn(keeper, metrics, tls)
        await asyncio.sleep(SECONDS)


async def _turn(keeper: CertificateSource, metrics: Metrics, tls: ReloadableTls) -> None:
    try:
        try:
            await keeper.refresh()
        finally:
            metrics.certificate(tls.pair)
    except (ClusterError, BadPairError, OSError) as error:
        metrics.certificate_errors.inc()
        _log.warning("the certificate stays as it is: %s", error)
    except Exception:  # noqa: BLE001  a defect of ours in one look must not end renewal: the leaf would expire
        metrics.certificate_errors.inc()
        _log.exception("the certificate stays as it is")
