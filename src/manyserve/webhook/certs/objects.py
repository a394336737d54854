"""Objects of the certificates in the cluster: the Secret that the replicas share, and the caBundle of the API server.

The Secret has the CA and the leaf. The chart creates it empty, so that the webhook needs no right to create Secrets. A
replica that finds a certificate due for renewal writes a new one. The write has the resourceVersion, so only the first
of two writers succeeds, and the other reads the result of the first.

By the caBundle in the ValidatingWebhookConfiguration the API server trusts the webhook's certificate. The chart omits
it, and an upgrade or a manual edit may reset it. So it is compared every 10 s, and patched only when it differs. The
patch has the resourceVersion, so that no other edit is lost.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import Conflict
from manyserve.cluster.kinds import Kind
from manyserve.webhook.certs.check import Issued, ensure
from manyserve.webhook.certs.issue import KeyPair

SECRET = Kind("Secret", "v1", "secrets")
CONFIGURATION = Kind(
    "ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1",
    "validatingwebhookconfigurations",
    namespaced=False,
)
_KEYS = ("ca.crt", "ca.key", "bundle.crt", "tls.crt", "tls.key")
_TRIES = 3


async def ensure_issued(
    client: KubeClient, namespace: str, name: str, names: Sequence[str], now: datetime
) -> tuple[Issued, bool]:
    """Return good certificates for these DNS names, and whether this process wrote them.

    Raises `ClusterError`.
    """
    for left in reversed(range(_TRIES)):
        stored = await client.get(SECRET, namespace, name)
        old = read(stored.get("data") or {})
        new = ensure(old, names, now)
        if new is old:
            return new, False
        try:
            await client.replace(SECRET, stored | {"data": (stored.get("data") or {}) | write(new)})
        except Conflict:
            if not left:
                raise
            continue
        return new, True
    raise AssertionError("the last try returns or raises")


def read(data: Mapping[str, Any]) -> Issued | None:
    """Parse the data of the Secret; None when it is incomplete."""
    try:
        ca, ca_key, bundle, leaf, leaf_key = (base64.b64decode(data[key], validate=True) for key in _KEYS)
    except (KeyError, TypeError, binascii.Error):
        return None
    return Issued(KeyPair(ca, ca_key), bundle, KeyPair(leaf, leaf_key))


def write(issued: Issued) -> dict[str, str]:
    """Return the data of a Secret with these certificates."""
    ca, leaf = issued.authority, issued.leaf
    values = (ca.certificate, ca.key, issued.bundle, leaf.certificate, leaf.key)
    return {key: base64.b64encode(value).decode() for key, value in zip(_KEYS, values, strict=True)}


async def ensure_bundle(client: KubeClient, name: str, bundle: bytes) -> bool:
    """Write the bundle to every webhook of the configuration, and return whether it was missing.

    Raises `ClusterError`.
    """
    for left in reversed(range(_TRIES)):
        patch = bundle_patch(await client.get(CONFIGURATION, "", name), bundle)
        if patch is None:
            return False
        try:
            await client.merge_patch(CONFIGURATION, "", name, patch)
        except Conflict:  # most likely with the other replica
            if not left:
                raise
            continue
        return True
    raise AssertionError("the last try returns or raises")


def bundle_patch(configuration: dict[str, Any], bundle: bytes) -> dict[str, Any] | None:
    """Return the merge patch that writes the bundle, or None when it is up to date."""
    wanted = base64.b64encode(bundle).decode()
    webhooks = configuration.get("webhooks") or []
    if all(each.get("clientConfig", {}).get("caBundle") == wanted for each in webhooks):
        return None
    new = [each | {"clientConfig": each.get("clientConfig", {}) | {"caBundle": wanted}} for each in webhooks]
    return {"metadata": {"resourceVersion": configuration["metadata"]["resourceVersion"]}, "webhooks": new}
