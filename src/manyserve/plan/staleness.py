"""How far a picture reaches, and whether it is older than the one from which `models.json` was written.

An API server whose cache lags, or one of several that has been cut off, may list the models of half a minute ago to
an operator that starts: those that came since would be taken off their host. So `models.json` carries what its plan
had seen, the latest change of a host and that of a model, and nothing is done from a picture that does not reach as
far. A note that cannot be, such as a change later than the ConfigMap itself, holds nobody up.
"""

from __future__ import annotations

import re

from manyserve.api.names import PLANNED_FROM
from manyserve.plan.observed import CacheVersions, Manifest

_NOTE = re.compile(r"(\d{1,19})/(\d{1,19})", re.ASCII)


def planned_from(sight: CacheVersions) -> dict[str, str]:
    """Return the annotation of a `models.json` that is planned from a picture of this reach."""
    return {PLANNED_FROM: f"{sight.hosts.newest_version}/{sight.models.newest_version}"}


def is_stale(sight: CacheVersions, config_map: Manifest) -> bool:
    """Tell whether something is not in the picture that was known when this `models.json` was written."""
    metadata = config_map["metadata"]
    found = _NOTE.fullmatch(str((metadata.get("annotations") or {}).get(PLANNED_FROM, "")))
    stored = str(metadata.get("resourceVersion", ""))
    if found is None or not stored.isdecimal():
        return False
    noted = (int(each) for each in found.groups())
    return any(
        reach.observed_version < newest <= int(stored)
        for reach, newest in zip((sight.hosts, sight.models), noted, strict=True)
    )
