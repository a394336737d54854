"""Staleness: detect a snapshot that is older than the one from which `models.json` was written.

An API server with a lagging cache, or one that is cut off from the others, may list outdated models to a starting
operator, such as those of half a minute ago. Newer models would then be removed from their host. So an annotation of
`models.json` holds the resourceVersions of the newest host and model of its snapshot. A plan of an older snapshot does
nothing. An impossible annotation, such as a version later than that of the ConfigMap itself, is ignored.
"""

from __future__ import annotations

import re

from manyserve.api.names import PLANNED_FROM
from manyserve.plan.observed import CacheVersions, Manifest

_ANNOTATION = re.compile(r"(\d{1,19})/(\d{1,19})", re.ASCII)


def planned_from(versions: CacheVersions) -> dict[str, str]:
    """Return the annotation of a `models.json` that is planned from a snapshot with these versions."""
    return {PLANNED_FROM: f"{versions.hosts.newest_version}/{versions.models.newest_version}"}


def is_stale(versions: CacheVersions, config_map: Manifest) -> bool:
    """Return whether the snapshot lacks a change that the plan of this `models.json` had seen."""
    metadata = config_map["metadata"]
    match = _ANNOTATION.fullmatch(str((metadata.get("annotations") or {}).get(PLANNED_FROM, "")))
    stored = str(metadata.get("resourceVersion", ""))
    if match is None or not stored.isdecimal():
        return False
    newest_versions = (int(each) for each in match.groups())
    return any(
        version.observed_version < newest <= int(stored)
        for version, newest in zip((versions.hosts, versions.models), newest_versions, strict=True)
    )
