"""Security contexts: stricter than the Pod Security Standard *restricted*, by a read-only root filesystem."""

from __future__ import annotations

GROUP_ID = 65532
"""Group that owns the shared volume; also the agent's user ID."""

STRICT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}
"""Security context of each container."""

POD = {
    "runAsNonRoot": True,
    "fsGroup": GROUP_ID,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Security context of each pod."""
