"""The caBundle in the ValidatingWebhookConfiguration, by which the API server trusts the webhook's certificate.

The chart omits it, and an upgrade or a manual edit may reset it. So it is compared every 10 s, and patched only when it
differs. The patch has the resourceVersion, so that no other edit is lost.
"""

from __future__ import annotations

import base64
from typing import Any

from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import Conflict
from manyserve.cluster.kinds import Kind

CONFIGURATION = Kind(
    "ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1",
    "validatingwebhookconfigurations",
    namespaced=False,
)
_TRIES = 3


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
