"""Annotations by which the identity webhooks of clouds skip the containers that run code of users and models.

With an identity on the host's ServiceAccount, such a webhook puts a token into every container of the pod. Only the
agent downloads, so every other container is skipped, init containers, too. GKE has no such webhook: its metadata server
answers the whole pod, and only a NetworkPolicy closes it (docs/security.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from manyserve.api import names

_SEPARATORS = {
    "eks.amazonaws.com/skip-containers": ",",
    "azure.workload.identity/skip-containers": ";",
    "pod-identity.alibabacloud.com/skip-containers": ",",
}
"""Separators of the container names, by annotation: roles for service accounts and pod identities of EKS, Azure's
workload identity, Alibaba Cloud's RRSA."""


def skip_annotations(containers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the annotations of a pod with these containers."""
    skipped = [str(name) for each in containers if (name := each.get("name")) != names.AGENT_CONTAINER]
    return {key: separator.join(skipped) for key, separator in _SEPARATORS.items()}
