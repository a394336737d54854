"""Config refresh: patching an annotation of a pod, so that the kubelet remounts its ConfigMap at once.

By itself the kubelet syncs a ConfigMap once a minute. An agent reports which `models.json` it acts on. While that is
not the desired one, the annotation is patched: at once, then after 1, 2, 4 … 60 s. One patch may not suffice, because
the kubelet may have read its own cache just before the new ConfigMap arrived. The value of the annotation is
`HASH.COUNT.SECONDS`: content, number of patches, time of the last one. See
docs/decisions/0008-an-annotation-instead-of-the-kubelets-minute.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from manyserve.api.names import CONFIG_HASH
from manyserve.backoff import Backoff
from manyserve.plan.actions import ConfigRefresh
from manyserve.plan.pods import Replica

_BACKOFF = Backoff(base=1.0, cap=60.0, jitter=0.0)
"""Delay between two patches of a pod; without jitter, since each plan computes the delay again."""
_CLOCK_TOLERANCE = 1.0
"""Seconds. A time of the last patch further in the future than this was written before the clock was set back."""
_ANNOTATION = re.compile(r"(?P<content>[^.]*)\.(?P<count>[0-9]{1,9})\.(?P<since>[0-9]{1,12}(\.[0-9]{1,9})?)")


def config_refreshes(
    replicas: Sequence[Replica], wanted: str, now: datetime
) -> tuple[tuple[ConfigRefresh, ...], float | None]:
    """Return the pods to patch now, and the seconds until the next patch is due."""
    due: list[ConfigRefresh] = []
    delays: list[float] = []
    for replica in replicas:
        if not _is_behind(replica, wanted):
            continue
        count, delay = _last_refresh(replica.annotations.get(CONFIG_HASH, ""), wanted, now)
        if delay <= 0:
            due.append(ConfigRefresh(replica.name, replica.uid, f"{wanted}.{count + 1}.{now.timestamp():.3f}"))
            delay = _BACKOFF.delay(count + 1, fraction=1.0)
        delays.append(delay)
    return tuple(due), min(delays, default=None)


def _is_behind(replica: Replica, wanted: str) -> bool:
    report = replica.report
    return replica.running and report is not None and report.config != wanted and not report.config_error


def _last_refresh(annotation: str, wanted: str, now: datetime) -> tuple[int, float]:
    """Return the number of patches of the pod for this content, and the seconds until the next one is due."""
    match = _ANNOTATION.fullmatch(annotation)
    if match is None or match["content"] != wanted:
        return 0, 0.0
    count = int(match["count"])
    backoff = _BACKOFF.delay(count, fraction=1.0)
    delay = float(match["since"]) + backoff - now.timestamp()
    return count, delay if delay <= backoff + _CLOCK_TOLERANCE else 0.0
