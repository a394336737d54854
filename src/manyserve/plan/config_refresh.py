"""Nudges: touching an annotation of a pod, so that the kubelet remounts its ConfigMap at once.

The kubelet's own look at a ConfigMap comes once a minute. An agent reports which `models.json` it acts on;
while that is not the wanted one, its pod is touched: at once, then after 1, 2, 4 … 60 seconds, because the
kubelet may have looked at its own cache a moment before the new ConfigMap reached it. The annotation holds
what was asked for, how often, and when: `HASH.COUNT.SECONDS`.
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
"""Between two touches of a pod; without jitter, since each plan computes the delay again."""
_SLACK = 1.0
"""Seconds: what was touched later than that from now, was touched before the clock was set back."""
_TOUCHED = re.compile(r"(?P<content>[^.]*)\.(?P<count>[0-9]{1,9})\.(?P<since>[0-9]{1,12}(\.[0-9]{1,9})?)")


def config_refreshes(
    replicas: Sequence[Replica], wanted: str, now: datetime
) -> tuple[tuple[ConfigRefresh, ...], float | None]:
    """Return the pods to touch now, and after how many seconds to look again."""
    due: list[ConfigRefresh] = []
    waits: list[float] = []
    for replica in replicas:
        if not _is_behind(replica, wanted):
            continue
        count, left = _turn(replica.annotations.get(CONFIG_HASH, ""), wanted, now)
        if left <= 0:
            due.append(ConfigRefresh(replica.name, replica.uid, f"{wanted}.{count + 1}.{now.timestamp():.3f}"))
            left = _BACKOFF.delay(count + 1, fraction=1.0)
        waits.append(left)
    return tuple(due), min(waits, default=None)


def _is_behind(replica: Replica, wanted: str) -> bool:
    report = replica.report
    return replica.running and report is not None and report.config != wanted and not report.config_error


def _turn(annotation: str, wanted: str, now: datetime) -> tuple[int, float]:
    """Return how often the pod was touched for this content, and the seconds until it is its turn again."""
    found = _TOUCHED.fullmatch(annotation)
    if found is None or found["content"] != wanted:
        return 0, 0.0
    count = int(found["count"])
    pause = _BACKOFF.delay(count, fraction=1.0)
    left = float(found["since"]) + pause - now.timestamp()
    return count, left if left <= pause + _SLACK else 0.0
