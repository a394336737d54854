"""Config refresh: patching an annotation of a pod, so that the kubelet remounts its ConfigMap at once.

By itself the kubelet syncs a ConfigMap once a minute. An agent reports which `models.json` it acts on, and a router
which `pods.json`. While that is not the desired one, the annotation is patched: at once, then after 1, 2, 4 … 60 s. One
patch may not suffice, because the kubelet may have read its own cache just before the new ConfigMap arrived. The value
of the annotation is `HASH.COUNT.SECONDS`: content, number of patches, time of the last one. See
docs/decisions/0008-an-annotation-instead-of-the-kubelets-minute.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from manyserve.api.names import CONFIG_HASH
from manyserve.backoff import Backoff
from manyserve.plan.actions import ConfigRefresh

_BACKOFF = Backoff(base=1.0, cap=60.0, jitter=0.0)
"""Delay between two patches of a pod; without jitter, since each plan computes the delay again."""
_CLOCK_TOLERANCE = 1.0
"""Seconds. A time of the last patch further in the future than this was written before the clock was set back."""
_ANNOTATION = re.compile(r"(?P<content>[^.]*)\.(?P<count>[0-9]{1,9})\.(?P<since>[0-9]{1,12}(\.[0-9]{1,9})?)")


class Mounting(Protocol):
    """Pod with a mounted ConfigMap: a replica or a router."""

    @property
    def name(self) -> str:
        """Name of the pod."""

    @property
    def uid(self) -> str:
        """UID of the pod."""

    @property
    def running(self) -> bool:
        """Whether the pod runs."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """Annotations of the pod."""

    @property
    def config(self) -> str | None:
        """Hash of the content in force; None when a patch is of no use."""


def config_refreshes(
    pods: Sequence[Mounting], wanted: str, now: datetime
) -> tuple[tuple[ConfigRefresh, ...], float | None]:
    """Return the pods to patch now, and the seconds until the next patch is due."""
    due: list[ConfigRefresh] = []
    delays: list[float] = []
    for pod in pods:
        if not pod.running or pod.config in (None, wanted):
            continue
        count, delay = _last_refresh(pod.annotations.get(CONFIG_HASH, ""), wanted, now)
        if delay <= 0:
            due.append(ConfigRefresh(pod.name, pod.uid, f"{wanted}.{count + 1}.{now.timestamp():.3f}"))
            delay = _BACKOFF.delay(count + 1, fraction=1.0)
        delays.append(delay)
    return tuple(due), min(delays, default=None)


def _last_refresh(annotation: str, wanted: str, now: datetime) -> tuple[int, float]:
    """Return the number of patches of the pod for this content, and the seconds until the next one is due."""
    match = _ANNOTATION.fullmatch(annotation)
    if match is None or match["content"] != wanted:
        return 0, 0.0
    count = int(match["count"])
    backoff = _BACKOFF.delay(count, fraction=1.0)
    delay = float(match["since"]) + backoff - now.timestamp()
    return count, delay if delay <= backoff + _CLOCK_TOLERANCE else 0.0
