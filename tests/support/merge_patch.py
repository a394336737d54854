"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_patch(target: Any, patch: Any) -> Any:
    """Return the target with the patch applied; null deletes a field."""
    if not isinstance(patch, Mapping):
        return patch
    before = target if isinstance(target, Mapping) else {}
    unchanged = {key: value for key, value in before.items() if key not in patch}
    return unchanged | {key: merge_patch(before.get(key), value) for key, value in patch.items() if value is not None}
