"""Pods for which Kubernetes gives no reason: not created, never initialized, never ready."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from manyserve.api import conditions
from manyserve.plan.plan import plan
from manyserve.plan.status.slow_pod import PATIENCE, seconds_until_slow, slow_pod_problem
from tests.plan.status.test_unready_replicas import rolled_with
from tests.plan.test_plan import seen
from tests.support import make, world

Manifest = dict[str, Any]
SERVER: Manifest = {"name": "kserve-container"}
NOT_CREATED = (
    "its containers are not created yet: an image is being pulled, or a volume cannot be mounted; "
    "kubectl describe pod shows which"
)
BEGUN = make.NOW - timedelta(seconds=PATIENCE)


def waiting(reason: str) -> Manifest:
    return SERVER | {"state": {"waiting": {"reason": reason}}}


def running(**fields: Any) -> Manifest:
    return SERVER | {"state": {"running": {}}} | fields


def pod(*containers: Manifest, created: str = "False", ready: Manifest | None = None, **fields: Any) -> Manifest:
    """Return a pod with containers in one state since `BEGUN`."""
    made = make.pod("pod-2", ready=False)
    since = {"type": "ContainersReady", "status": created, "lastTransitionTime": f"{BEGUN:%Y-%m-%dT%H:%M:%SZ}"}
    made["status"] |= {"containerStatuses": list(containers), **fields}
    made["status"]["conditions"] = [since, {"type": "Ready", "status": "False"} | (ready or {})]
    return made


GATES = {
    "reason": "ReadinessGatesNotReady",
    "message": 'the status of pod readiness gate "example.com/a" is not "True"',
}
INIT = [{"name": "fetch", "state": {"running": {}}}]
SLOW = {
    "not mounted": (pod(waiting("ContainerCreating")), NOT_CREATED),
    "init": (pod(waiting("PodInitializing"), initContainerStatuses=INIT), "init container fetch has not ended yet"),
    "startup": (pod(running(started=False)), "container kserve-container runs, and its startup probe fails"),
    "readiness": (pod(running(started=True)), "container kserve-container runs, and its readiness probe fails"),
    "gates": (pod(running(ready=True), created="True", ready=GATES), GATES["message"]),
}


@pytest.mark.parametrize(("slow", "sentence"), SLOW.values(), ids=SLOW)
def test_pod_that_is_not_ready_for_a_minute_is_reported_by_its_containers(slow: Manifest, sentence: str) -> None:
    assert slow_pod_problem((make.pod(), slow), make.NOW) == ("ContainersNotReady", f"pod pod-2: {sentence}")
    assert slow_pod_problem((slow,), make.NOW - timedelta(seconds=1)) is None
    assert seconds_until_slow((slow,), make.NOW - timedelta(seconds=1)) == 1
    assert seconds_until_slow((slow,), make.NOW) is None


def test_pod_that_waits_for_models_ends_or_has_no_time_is_not_reported() -> None:
    agent = {"name": "agent", "ready": False, "started": True, "state": {"running": {}}}
    waits = pod(running(ready=True, started=True), agent)
    ending = pod(waiting("ContainerCreating"))
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    unknown = pod(waiting("ContainerCreating"))
    del unknown["status"]["conditions"][0]["lastTransitionTime"]
    assert slow_pod_problem((waits, ending, unknown, make.pod("new", ready=False)), make.NOW) is None


def test_sidecar_that_has_started_is_no_init_container_to_wait_for() -> None:
    slow = pod(waiting("PodInitializing"), initContainerStatuses=[INIT[0] | {"started": True}])
    slow["spec"] = {"initContainers": [{"name": "fetch", "restartPolicy": "Always"}]}
    assert slow_pod_problem((slow,), make.NOW) == ("ContainersNotReady", f"pod pod-2: {NOT_CREATED}")


def test_host_reports_slow_pod_beside_the_previous_revision_and_is_planned_again_in_time() -> None:
    observed = rolled_with(world.settle(seen(make.model())), pod(waiting("ContainerCreating")))
    early = plan(observed, make.NOW - timedelta(seconds=10))
    assert early.requeue_after == 10
    after = world.carry_out(observed, plan(observed, make.NOW)).host
    assert after
    predictor = conditions.find(after.status.conditions, conditions.PREDICTOR_READY)
    assert predictor
    assert (predictor.status, predictor.reason) == ("True", "ContainersNotReady")
    assert predictor.message == f"answers with the previous revision; pod pod-2: {NOT_CREATED}"


def test_host_without_answers_reports_its_slow_pod_by_a_normal_event() -> None:
    settled = world.settle(seen(make.model()))
    child = next(each for each in settled.children if each.kind == "Deployment")
    stored = settled.children[child]
    down = {**settled.children, child: stored | {"status": {"replicas": 1, "updatedReplicas": 1}}}
    observed = replace(settled, children=down, pods=(pod(waiting("ContainerCreating")),), agents={})
    events = [each for each in plan(observed, make.NOW).events if each.kind == "InferenceService"]
    assert [(each.type, each.reason) for each in events] == [("Normal", "ContainersNotReady")]
