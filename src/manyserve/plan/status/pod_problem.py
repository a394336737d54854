"""Problems of a host's pods, as a reason and a sentence: scheduling, each container, and the eviction of a pod.

Init containers and injected sidecars count like the containers of the operator. A termination message is another
program's text. Its last line is shown, without secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from manyserve.plan.observed import Manifest
from manyserve.plan.pods import is_ready
from manyserve.redaction import one_line

Problem = tuple[str, str]
"""Reason and sentence."""

BENIGN = ("ContainerCreating", "PodInitializing")
_PLAIN_ENDS = ("", "Error", "Completed")
"""Reasons of an ended container that say no more than its exit code."""
_SIGNALS = 128
"""An exit code of this number and a signal's stands for the signal. A program may end with another one, such as 255."""
_LAST_SIGNAL = 64


def pod_problem(pods: Sequence[Manifest]) -> Problem | None:
    """Return the reason and the sentence of the first pod with a problem, or None; failed pods come last.

    A ready pod has none, whatever its other conditions say.
    """
    unready = [pod for pod in pods if not (pod["metadata"].get("deletionTimestamp") or is_ready(pod))]
    for pod in sorted(unready, key=_has_failed):
        problems = tuple(_problems(pod))
        if problems:
            sentences = "; ".join(sentence for _, sentence in problems)
            return problems[0][0], f"pod {pod['metadata']['name']}: {sentences}"
    return None


def _has_failed(pod: Manifest) -> bool:
    return bool(_status(pod).get("phase") == "Failed")


def _problems(pod: Manifest) -> Iterator[Problem]:
    """Yield the problems of a pod; one that has failed as a whole, by an eviction, has no other."""
    status = _status(pod)
    if _has_failed(pod) and status.get("reason"):
        yield status["reason"], one_line(status.get("message") or "it has failed")
        return
    yield from _scheduling_problems(status)
    for container in status.get("initContainerStatuses") or ():
        yield from _container_problems(container, may_complete=True)
    for container in status.get("containerStatuses") or ():
        yield from _container_problems(container, may_complete=False)


def _scheduling_problems(status: Manifest) -> Iterable[Problem]:
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield condition.get("reason") or "Unschedulable", one_line(condition.get("message") or "it has no node yet")


def _container_problems(container: Manifest, *, may_complete: bool) -> Iterator[Problem]:
    """Yield the problem of a container that waits, has ended, or starts again after its end."""
    name, state = f"container {container['name']}", container.get("state") or {}
    waiting, ended = state.get("waiting"), state.get("terminated")
    last = (container.get("lastState") or {}).get("terminated")
    if waiting and waiting.get("reason") not in BENIGN:
        reason = waiting.get("reason") or "Waiting"
        sentence = f"{name} is waiting: {one_line(waiting.get('message') or reason)}"
        yield reason, f"{sentence}; it {_end(last)}" if last else sentence
    elif ended and not (may_complete and ended.get("exitCode") == 0):
        yield ended.get("reason") or "Error", f"{name} {_end(ended)}"
    elif last and state.get("running") is not None and not _has_started(container):
        yield last.get("reason") or "Error", f"{name} {_end(last)}; it starts again"


def _has_started(container: Manifest) -> bool:
    return bool(container.get("ready") or container.get("started"))


def _end(ended: Manifest) -> str:
    """Return how a container ended, with the last line of its termination message."""
    reason, code = ended.get("reason") or "", ended.get("exitCode", 0)
    signal = ended.get("signal") or (code - _SIGNALS if 0 < code - _SIGNALS <= _LAST_SIGNAL else None)
    details = f"exit code {code}" + (f", signal {signal}" if signal else "")
    if reason == "OOMKilled":
        clause = f"was OOMKilled, since it needed more memory than its limit ({details})"
    else:
        clause = f"ended with {details}" + (f" ({reason})" if reason not in _PLAIN_ENDS else "")
    lines = str(ended.get("message") or "").strip().splitlines()
    return f"{clause}: {one_line(lines[-1])}" if lines else clause


def _status(pod: Manifest) -> Manifest:
    return dict(pod.get("status") or {})
