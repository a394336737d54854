"""Roll-out: the models that a new pod waits for before it is ready, and the longest wait.

A new pod waits for each model that answers on another pod in service of its shard, until it answers there too. A wait
for a model that fails on the new pod is bounded by `rollout.modelTimeout`. Such a model is not awaited at all when it
fails on a pod in service of the same revision: the roll-out has gone on without it. The agents get the result as a
hold: docs/decisions/0013-the-operators-poll-carries-readiness.md.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from itertools import chain

from manyserve.api.agentreport import LONGEST_HOLD, ModelReport, ModelState
from manyserve.plan.pods import Replica

FAILED = (ModelState.DOWNLOAD_FAILED, ModelState.LOAD_FAILED)


def hold_seconds(
    pod: Replica, replicas: Sequence[Replica], existing: Container[str], timeout: float, *, is_routed: bool
) -> float | None:
    """Return how long the pod stays unready after its server's first answer; None while that is unknown.

    Without `is_routed` requests may still go to pods of another controller, which makes no reports.
    `existing` are the host's models: a deleted one may still answer on a pod with an older `models.json`. A model that
    the new pod has not read from that list yet counts as failing.
    """
    others = _in_service(pod, replicas)
    if not all(other.report and other.report.server_ready for other in others) or not (others or is_routed):
        return None  # also while a ready pod's server misses a poll of its index
    hold = 0.0
    for _, report in _awaited(pod, others, existing):
        if report is not None and report.state not in FAILED:
            return LONGEST_HOLD
        hold = timeout
    return hold


def failing_models(pod: Replica, replicas: Sequence[Replica]) -> dict[str, ModelReport]:
    """Return the models that fail on the pod and keep it unready, sorted by name."""
    awaited = dict(_awaited(pod, _in_service(pod, replicas), ()))
    return {name: report for name, report in sorted(awaited.items()) if report and report.state in FAILED}


def _in_service(pod: Replica, replicas: Sequence[Replica]) -> list[Replica]:
    return [other for other in replicas if other.uid != pod.uid and other.shard == pod.shard and other.in_service]


def _awaited(
    pod: Replica, others: Sequence[Replica], existing: Container[str]
) -> Iterator[tuple[str, ModelReport | None]]:
    """Yield the models that answer on another pod and not on this one, with this pod's reports about them."""
    reports = pod.report.models if pod.report else {}
    is_unread = pod.report is None or not pod.report.config
    for name in chain.from_iterable(other.answering - pod.answering for other in others):
        report = reports.get(name)
        if (is_unread or report or name in existing) and not _is_given_up(name, report, pod, others):
            yield name, report


def _is_given_up(name: str, report: ModelReport | None, pod: Replica, others: Sequence[Replica]) -> bool:
    """Return whether the model fails here, and on a pod in service of the same revision."""
    if report is None or report.state not in FAILED:
        return False
    peers = (other.report for other in others if other.revision == pod.revision and name not in other.answering)
    return any(peer is not None and name in peer.models and peer.models[name].state in FAILED for peer in peers)
