"""What keeps our pods within Pod Security *restricted*, and a little stricter."""

from __future__ import annotations

GROUP_ID = 65532
"""The group that owns the shared volume; the agent's user has the same number."""

STRICT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}
"""The security context of every container."""

POD = {
    "runAsNonRoot": True,
    "fsGroup": GROUP_ID,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The security context of every pod."""
