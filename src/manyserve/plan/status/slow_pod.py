"""Problems of pods for which Kubernetes gives a reason in Events alone.

Examples are a volume that cannot be mounted, an init container that does not end, and a probe that fails. A pod that is
not ready for `PATIENCE` is therefore reported by the state of its containers. An agent that waits for models has a
sentence of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from manyserve.api.names import AGENT_CONTAINER
from manyserve.plan.observed import Manifest
from manyserve.plan.pods import is_ready
from manyserve.plan.status.pod_problem import BENIGN, Problem
from manyserve.redaction import one_line

PATIENCE = 60.0
"""Seconds in which most pods become ready; the pull of a large image takes longer, and the sentence names it."""
CONTAINERS_NOT_READY = "ContainersNotReady"
_GATES = "ReadinessGatesNotReady"
_NOT_CREATED = (
    "its containers are not created yet: an image is being pulled, or a volume cannot be mounted; "
    "kubectl describe pod shows which"
)


def slow_pod_problem(pods: Sequence[Manifest], now: datetime) -> Problem | None:
    """Return reason and sentence of the first pod that is not ready for too long, or None."""
    for pod in _unready(pods):
        sentence = _sentence(pod) if _seconds_left(pod, now) <= 0 else None
        if sentence is not None:
            return CONTAINERS_NOT_READY, f"pod {pod['metadata']['name']}: {sentence}"
    return None


def seconds_until_slow(pods: Sequence[Manifest], now: datetime) -> float | None:
    """Return the seconds until the next pod is not ready for too long, or None."""
    waits = (_seconds_left(pod, now) for pod in _unready(pods))
    return min((seconds for seconds in waits if 0 < seconds <= PATIENCE), default=None)


def _unready(pods: Iterable[Manifest]) -> Iterator[Manifest]:
    for pod in pods:
        is_over = pod["metadata"].get("deletionTimestamp") or (pod.get("status") or {}).get("phase") == "Failed"
        if not is_over and not is_ready(pod):
            yield pod


def _seconds_left(pod: Manifest, now: datetime) -> float:
    """Return the seconds until the last change of the containers' readiness is `PATIENCE` old; else infinity."""
    try:
        since = datetime.fromisoformat(_condition(pod, "ContainersReady")["lastTransitionTime"])
        return PATIENCE - (now - since).total_seconds()
    except (KeyError, TypeError, ValueError):  # no condition yet, no time, or one without a zone
        return float("inf")


def _sentence(pod: Manifest) -> str | None:
    status = pod.get("status") or {}
    if _condition(pod, "ContainersReady").get("status") == "True":
        ready = _condition(pod, "Ready")
        return one_line(ready.get("message") or _GATES) if ready.get("reason") == _GATES else None
    if (init := _running_init_container(pod)) is not None:
        return f"init container {init} has not ended yet"
    containers = status.get("containerStatuses") or ()
    if any(((each.get("state") or {}).get("waiting") or {}).get("reason") in BENIGN for each in containers):
        return _NOT_CREATED
    failing = (each for each in containers if not each.get("ready") and each["name"] != AGENT_CONTAINER)
    for each in failing:
        probe = "readiness" if each.get("started") else "startup"
        return f"container {each['name']} runs, and its {probe} probe fails"
    return None


def _running_init_container(pod: Manifest) -> str | None:
    """Return the name of the init container for which the others wait, or None."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {each["name"] for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"}
    for each in status.get("initContainerStatuses") or ():
        is_running = (each.get("state") or {}).get("running") is not None
        if is_running and not (each["name"] in sidecars and each.get("started")):
            return str(each["name"])
    return None


def _condition(pod: Manifest, kind: str) -> Manifest:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})
