"""API group of this process: one of two, read from `MANYSERVE_API_GROUP` when this module is imported.

A process serves one group. Kinds, labels, annotations and owner references are constants that contain the group, so the
group is a constant, too (`docs/decisions/0002-api-group.md`). This module is outside `api`, which does not read the
environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from manyserve.api.errors import StartupError, invalid_variable

KSERVE = "serving.kserve.io"
"""KServe's group, and the default."""
OWN = "serving.manyserve.io"
"""The group for a cluster in which KServe's CRDs belong to KServe."""
GROUPS = (KSERVE, OWN)
VARIABLE = "MANYSERVE_API_GROUP"


def from_env(env: Mapping[str, str]) -> str:
    """Return the group of an environment. Raises `StartupError`."""
    group = env.get(VARIABLE) or KSERVE
    if group not in GROUPS:
        raise StartupError(invalid_variable(VARIABLE, group, f"must be one of {', '.join(GROUPS)}"))
    return group


GROUP = from_env(os.environ)
