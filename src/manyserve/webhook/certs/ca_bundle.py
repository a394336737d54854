"""The caBundle in the ValidatingWebhookConfiguration: by it the API server knows that we are who we are.

The chart leaves it out, and an upgrade or a hand may reset it; so it is compared every few seconds, and
patched only when it differs. The resourceVersion in the patch lets nobody's edit be lost.
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
    """Put the bundle into every webhook of the configuration, and tell whether it was missing.

    Raises `ClusterError`.
    """
    for left in reversed(range(_TRIES)):
        patch = bundle_patch(await client.get(CONFIGURATION, "", name), bundle)
        if patch is None:
            return False
        try:
            await client.merge_patch(CONFIGURATION, "", name, patch)
        except Conflict:  # the other replica, most likely
            if not left:
                raise
            continue
        return True
    raise AssertionError("the last try returns or raises")


def bundle_patch(configuration: dict[str, Any], bundle: bytes) -> dict[str, Any] | None:
    """Return the merge patch that puts the bundle in, or None when it is there."""
    wanted = base64.b64encode(bundle).decode()
    webhooks = configuration.get("webhooks") or []
    if all(each.get("clientConfig", {}).get("caBundle") == wanted for each in webhooks):
        return None
    new = [each | {"clientConfig": each.get("clientConfig", {}) | {"caBundle": wanted}} for each in webhooks]
    return {"metadata": {"resourceVersion": configuration["metadata"]["resourceVersion"]}, "webhooks": new}
