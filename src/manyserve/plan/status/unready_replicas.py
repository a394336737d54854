"""Problems of replicas that do not answer, in a roll-out or a scale-up, while others do.

The pod's own reason comes first, since the Deployment reports its own only after its progress deadline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from manyserve.plan.capacity import LARGEST_SHOWN
from manyserve.plan.children.strategy import replaces_side_by_side
from manyserve.plan.observed import Manifest
from manyserve.plan.pods import shard_of
from manyserve.plan.sharding.shard import shard_names
from manyserve.plan.status.pod_problem import Problem, pod_problem
from manyserve.plan.status.slow_pod import slow_pod_problem

Shards = Mapping[int, Manifest]
"""Deployments by shard."""
NO_SHARDS: Shards = {}
RECREATE_HINT = (
    "if two pods do not fit side by side, spec.predictor.deploymentStrategy.type: Recreate ends the old pod first, "
    "and nothing answers meanwhile"
)


def rollout_problem(deployment: Manifest) -> Problem | None:
    """Return the problem of a Deployment that cannot create pods or does not progress."""
    for kind, bad in (("ReplicaFailure", "True"), ("Progressing", "False")):
        for condition in (deployment.get("status") or {}).get("conditions") or ():
            if condition["type"] == kind and condition["status"] == bad:
                return condition.get("reason") or kind, condition.get("message") or "the Deployment does not progress"
    return None


def problem_of_pods(pods: Sequence[Manifest], now: datetime, shards: Shards = NO_SHARDS) -> Problem | None:
    """Return the problem of the first pod that has one, or those of the shards of a heterogeneous host."""
    return _problem_of_shards(shards, pods, now) if shards else pod_problem(pods) or slow_pod_problem(pods, now)


def _problem_of_shards(deployments: Shards, pods: Sequence[Manifest], now: datetime) -> Problem | None:
    """Return the reason of the first shard with a problem, and a sentence for each of the first ones."""
    problems: list[tuple[int, Problem]] = []
    for index, deployment in sorted(deployments.items()):
        of_shard = [pod for pod in pods if shard_of(pod) == index]
        problem = problem_of_pods(of_shard, now) or rollout_problem(deployment)
        if problem is not None:
            problems.append((index, problem))
    if not problems:
        return None
    sentences = [f"{shard_names((index,))}: {message}" for index, (_, message) in problems[:LARGEST_SHOWN]]
    more = [f"{len(problems) - LARGEST_SHOWN} more of its shards"] if len(problems) > LARGEST_SHOWN else []
    return problems[0][1][0], "; ".join(sentences + more)


def problem_beside_answers(
    deployment: Manifest, pods: Sequence[Manifest], now: datetime, shards: Shards = NO_SHARDS
) -> Problem | None:
    """Return the problem of the replicas that do not answer, while others do."""
    is_whole = _counts(deployment, "replicas", "updatedReplicas", "readyReplicas") == {_desired(deployment)}
    problem = (None if is_whole else problem_of_pods(pods, now, shards)) or rollout_problem(deployment)
    if problem is None:
        return None
    reason, message = problem
    hint = f"; {RECREATE_HINT}" if _lacks_resources(deployment, reason, message) else ""
    return reason, f"{_answers(deployment)}; {message}{hint}"


def _answers(deployment: Manifest) -> str:
    """Return the clause about the replicas that answer."""
    status = deployment.get("status") or {}
    old, available = _previous(deployment), status.get("availableReplicas", 0)
    if old and available <= old:
        return "answers with the previous revision"
    if old:
        return "answers, in part with the previous revision"
    return f"{available} of {_desired(deployment)} replicas answer"


def _lacks_resources(deployment: Manifest, reason: str, message: str) -> bool:
    """Return whether a new pod waits for resources that an old pod holds."""
    lacks = reason == "Unschedulable" or (reason == "FailedCreate" and "exceeded quota" in message)
    return lacks and bool(_previous(deployment)) and replaces_side_by_side(deployment)


def _previous(deployment: Manifest) -> int:
    """Return the number of pods of earlier revisions."""
    status = deployment.get("status") or {}
    return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))


def _desired(deployment: Manifest) -> int:
    return int((deployment.get("spec") or {}).get("replicas", 1))


def _counts(deployment: Manifest, *fields: str) -> set[int]:
    status = deployment.get("status") or {}
    return {status.get(field, 0) for field in fields}
