"""The Secret that the replicas share: our own authority, kept where all of them can read it.

The chart makes it, empty, so that no right to create Secrets is needed. Whoever finds that what is in it is
no longer good writes it anew; the resourceVersion lets only the first of two writers win, and the other takes
what the first wrote.
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
_KEYS = ("ca.crt", "ca.key", "bundle.crt", "tls.crt", "tls.key")
_TRIES = 3


async def ensure_issued(
    client: KubeClient, namespace: str, name: str, names: Sequence[str], now: datetime
) -> tuple[Issued, bool]:
    """Return good certificates for these DNS names, and whether we were the one to write them.

    Raises `ClusterError`.
    """
    for left in reversed(range(_TRIES)):
        stored = await client.get(SECRET, namespace, name)
        before = read(stored.get("data") or {})
        good = ensure(before, names, now)
        if good is before:
            return good, False
        try:
            await client.replace(SECRET, stored | {"data": (stored.get("data") or {}) | write(good)})
        except Conflict:
            if not left:
                raise
            continue
        return good, True
    raise AssertionError("the last try returns or raises")


def read(data: Mapping[str, Any]) -> Issued | None:
    """Return what a Secret's data holds, or None when that is not a whole set."""
    try:
        ca, ca_key, bundle, leaf, leaf_key = (base64.b64decode(data[key], validate=True) for key in _KEYS)
    except (KeyError, TypeError, binascii.Error):
        return None
    return Issued(KeyPair(ca, ca_key), bundle, KeyPair(leaf, leaf_key))


def write(issued: Issued) -> dict[str, str]:
    """Return the data of a Secret that holds these certificates."""
    ca, leaf = issued.authority, issued.leaf
    values = (ca.certificate, ca.key, issued.bundle, leaf.certificate, leaf.key)
    return {key: base64.b64encode(value).decode() for key, value in zip(_KEYS, values, strict=True)}
