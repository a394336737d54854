"""Volumes of each host's pods, beside those of stores and of the user."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from manyserve.api import names

MODELS = "models"
MODELS_CONFIG = "models-config"
SERVER_TMP = "server-tmp"
AGENT_TMP = "agent-tmp"
OWN_VOLUMES = (MODELS, MODELS_CONFIG, SERVER_TMP, AGENT_TMP)


def own_volumes(host: str, size_limit: str | None = None) -> list[dict[str, Any]]:
    """Return the volumes of a host's pod; `size_limit` is that of the volume with models."""
    return [
        {"name": MODELS, "emptyDir": {"sizeLimit": size_limit} if size_limit else {}},
        {"name": MODELS_CONFIG, "configMap": {"name": names.model_config(host)}},
        {"name": SERVER_TMP, "emptyDir": {}},
        {"name": AGENT_TMP, "emptyDir": {}},
    ]


def mounted_folder(mount: Mapping[str, Any]) -> str | None:
    """Return the folder of a mount as the kubelet reads its path, or None without a path."""
    path = mount.get("mountPath")
    return posixpath.normpath(f"/{path.lstrip('/')}") if isinstance(path, str) and path else None
