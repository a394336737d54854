"""Problems of replicas that do not answer, in a roll-out or a scale-up, while others do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from manyserve.api import conditions
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.plan import plan
from manyserve.plan.status.host import PODS_NOT_READY
from manyserve.plan.status.unready_replicas import RECREATE_HINT, problem_beside_answers
from tests.plan.test_plan import seen
from tests.support import make, world

DEPLOYMENT = Child("Deployment", "triton-mms-predictor-default")
OLD_ANSWERS = {"replicas": 2, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}
QUOTA = 'pods "x" is forbidden: exceeded quota: few, requested: pods=1'


def deployment(status: Mapping[str, Any], desired: int = 1, strategy: Manifest = SURGE) -> Manifest:
    return {"spec": {"replicas": desired, "strategy": strategy}, "status": dict(status)}


def waiting(reason: str, message: str) -> Manifest:
    pod = make.pod("pod-2", ready=False)
    pod["status"]["containerStatuses"] = [
        {"name": "kserve-container", "state": {"waiting": {"reason": reason, "message": message}}}
    ]
    return pod


def without_node() -> Manifest:
    pod = make.pod("pod-2", ready=False)
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient gpu"}
    pod["status"] = {"phase": "Pending", "conditions": [condition]}
    return pod


def failed_create(message: str) -> Manifest:
    return {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}


def test_rollout_that_does_not_come_up_is_reported_with_the_reason_of_the_pod() -> None:
    pods = (make.pod(), waiting("ImagePullBackOff", "no such tag"))
    assert problem_beside_answers(deployment(OLD_ANSWERS), pods, make.NOW) == (
        "ImagePullBackOff",
        "answers with the previous revision; pod pod-2: container kserve-container is waiting: no such tag",
    )


def test_rollout_without_resources_for_two_pods_is_reported_with_the_strategy_that_helps() -> None:
    pods = (make.pod(), without_node())
    reason, message = problem_beside_answers(deployment(OLD_ANSWERS), pods, make.NOW) or ("", "")
    assert reason == "Unschedulable"
    assert message == f"answers with the previous revision; pod pod-2: Insufficient gpu; {RECREATE_HINT}"


@pytest.mark.parametrize(
    ("bounds", "helps"),
    [
        ({"maxUnavailable": "25%", "maxSurge": "25%"}, True),
        ({"maxUnavailable": "50%", "maxSurge": "25%"}, False),
        ({"maxUnavailable": 1, "maxSurge": 1}, False),
        ({"maxUnavailable": 0, "maxSurge": 1}, True),
        ({"maxUnavailable": "10%", "maxSurge": 0}, False),
    ],
    ids=str,
)
def test_rollout_hint_depends_on_the_pods_that_may_be_missing(bounds: Manifest, helps: bool) -> None:
    counts = {"replicas": 3, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2}
    rolling = deployment(counts, 2, {"type": "RollingUpdate", "rollingUpdate": bounds})
    assert (RECREATE_HINT in (problem_beside_answers(rolling, (without_node(),), make.NOW) or ("", ""))[1]) is helps


@pytest.mark.parametrize(("message", "helps"), [(QUOTA, True), ("violates PodSecurity", False)])
def test_rollout_of_a_deployment_that_cannot_create_pods_is_reported(message: str, helps: bool) -> None:
    status = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "conditions": [failed_create(message)]}
    reason, sentence = problem_beside_answers(deployment(status), (make.pod(),), make.NOW) or ("", "")
    assert reason == "FailedCreate"
    assert sentence.startswith(f"answers with the previous revision; {message}")
    assert (RECREATE_HINT in sentence) is helps


def test_scale_up_that_does_not_come_up_is_reported_with_the_replicas_that_answer() -> None:
    counts = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 2}
    assert problem_beside_answers(deployment(counts, 3), (without_node(),), make.NOW) == (
        "Unschedulable",
        "2 of 3 replicas answer; pod pod-2: Insufficient gpu",
    )


def test_rollout_that_answers_with_both_revisions_says_so() -> None:
    counts = {"replicas": 3, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    message = (problem_beside_answers(deployment(counts, 2), (waiting("ErrImagePull", "x"),), make.NOW) or ("", ""))[1]
    assert message.startswith("answers, in part with the previous revision; pod pod-2")


def test_rollout_in_progress_and_leftover_pods_of_a_whole_deployment_are_not_reported() -> None:
    assert problem_beside_answers(deployment(OLD_ANSWERS), (make.pod(),), make.NOW) is None
    evicted = make.pod("pod-0", ready=False)
    evicted["status"] = {"phase": "Failed", "reason": "Evicted"}
    whole = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    assert problem_beside_answers(deployment(whole), (evicted, make.pod()), make.NOW) is None


def rolled_with(settled: Observed, *pods: Manifest) -> Observed:
    stored = settled.children[DEPLOYMENT]
    stored = stored | {"status": stored["status"] | OLD_ANSWERS}
    return replace(settled, children={**settled.children, DEPLOYMENT: stored}, pods=(*settled.pods, *pods))


def test_host_stays_ready_and_reports_the_rollout_that_does_not_come_up() -> None:
    observed = rolled_with(world.settle(seen(make.model())), waiting("ImagePullBackOff", "no such tag"))
    after = world.carry_out(observed, plan(observed, make.NOW)).host
    assert after
    predictor = conditions.find(after.status.conditions, conditions.PREDICTOR_READY)
    ready = conditions.find(after.status.conditions, conditions.READY)
    assert predictor
    assert ready
    assert (predictor.status, predictor.reason) == ("True", "ImagePullBackOff")
    assert (ready.status, ready.reason, ready.message) == ("True", PODS_NOT_READY, predictor.message)
    assert ready.message
    assert ready.message.startswith("answers with the previous revision; pod pod-2")


def test_rollout_that_does_not_come_up_makes_one_event_for_all_reasons_of_its_pods() -> None:
    settled = world.settle(seen(make.model()))
    observed = rolled_with(settled, waiting("ErrImagePull", "no such tag"))
    (event,) = plan(observed, make.NOW).events
    assert (event.kind, event.type, event.reason) == ("InferenceService", "Warning", PODS_NOT_READY)
    assert event.message.startswith("answers with the previous revision; pod pod-2")
    after = world.carry_out(observed, plan(observed, make.NOW))
    pods = (*settled.pods, waiting("ImagePullBackOff", "back-off"))
    assert plan(replace(after, pods=pods), make.NOW).events == ()
    (event,) = plan(replace(after, children=settled.children, pods=settled.pods), make.NOW).events
    assert (event.type, event.reason) == ("Normal", conditions.READY)
