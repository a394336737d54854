"""Roll-outs on a real API server: the host's sentence, and the strategy of its Deployment."""

from __future__ import annotations

import json
from typing import Any

from manyserve.api import names
from manyserve.plan.status.unready_replicas import RECREATE_HINT
from tests.contract.stage import HOST, Manifest, Stage
from tests.plan.rules.test_strategy import ACCEPTED
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import condition

DEPLOYMENT = names.deployment(HOST)


async def answering(stage: Stage, **predictor: Any) -> None:
    stage.apply(make.host_object(**predictor))
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host answers")


async def edited(stage: Stage) -> str:
    """Edit the host so that its pod is replaced; return the new pod, which does not start."""
    before = {each["metadata"]["name"] for each in stage.kubectl.list("pod")}
    stage.kubelet.starts.clear()
    stage.apply(make.host_object(memory="3Gi"))
    await eventually_in_thread(lambda: len(stage.kubectl.list("pod")) > len(before), "a new pod exists")
    (pod,) = {each["metadata"]["name"] for each in stage.kubectl.list("pod")} - before
    return str(pod)


def bind(stage: Stage, pod: str) -> None:
    """Give the pod a node, as a scheduler does."""
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": {"name": "somewhere"}}
    path = f"/api/v1/namespaces/{stage.kubectl.namespace}/pods/{pod}/binding"
    stage.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(binding))


def set_waiting(stage: Stage, pod: str, **waiting: str) -> None:
    """Report a waiting container, as a kubelet does."""
    container = {"name": "agent", "ready": False, "restartCount": 0, "image": "", "imageID": ""}
    patch = json.dumps({"status": {"containerStatuses": [container | {"state": {"waiting": waiting}}]}})
    stage.kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", patch)


def predictor(stage: Stage) -> Manifest:
    return condition(stage.kubectl.get("isvc", HOST), "PredictorReady")


async def reported(stage: Stage, reason: str) -> str:
    """Wait for the reason of a host that answers; return its row in the output of kubectl."""
    await eventually_in_thread(lambda: predictor(stage).get("reason") == reason, f"the host reports {reason}")
    assert predictor(stage)["status"] == "True"
    row = stage.kubectl("get", "isvc", "-o", "wide").splitlines()[1]
    assert row.split()[2] == "True"
    return row


async def test_host_that_answers_reports_the_new_pod_that_does_not_start(stage: Stage) -> None:
    await answering(stage)
    pod = await edited(stage)
    row = await reported(stage, "Unschedulable")
    assert f"answers with the previous revision; pod {pod}: no nodes available to schedule pods; {RECREATE_HINT}" in row
    bind(stage, pod)
    set_waiting(stage, pod, reason="ImagePullBackOff", message="no such tag")
    row = await reported(stage, "ImagePullBackOff")
    assert f"answers with the previous revision; pod {pod}: container agent is waiting: no such tag" in row
    stage.kubelet.starts.set()
    await eventually_in_thread(lambda: "reason" not in predictor(stage), "the reason goes with the roll-out")


async def test_host_that_answers_reports_a_quota_that_allows_no_second_pod(stage: Stage) -> None:
    await answering(stage)
    stage.kubectl("create", "quota", "few", "--hard=pods=1")
    await eventually_in_thread(
        lambda: stage.kubectl.get("quota", "few").get("status", {}).get("used") == {"pods": "1"}, "the quota is counted"
    )
    stage.apply(make.host_object(memory="3Gi"))

    def message() -> str:
        return str(stage.ready("isvc", HOST).get("message", ""))

    await eventually_in_thread(lambda: "exceeded quota: few" in message(), "the host reports the quota")
    assert message().startswith("answers with the previous revision; ")
    assert "deploymentStrategy.type: Recreate" in message()
    stage.apply(make.host_object(memory="3Gi", deploymentStrategy={"type": "Recreate"}))

    def is_replaced() -> bool:
        limits = [each["spec"]["containers"][0]["resources"]["limits"] for each in stage.kubectl.list("pod")]
        return [each["memory"] for each in limits] == ["3Gi"]

    await eventually_in_thread(is_replaced, "the proposed strategy replaces the pod", 60)


async def test_deployment_follows_each_change_of_the_strategy(stage: Stage) -> None:
    await answering(stage)
    for given in (*ACCEPTED, {"type": "Recreate"}, None):
        stage.apply(make.host_object(deploymentStrategy=given))
        generation = stage.kubectl.get("isvc", HOST)["metadata"]["generation"]
        recreates = bool(given and given.get("type") == "Recreate")

        def is_followed(generation: int = generation, recreates: bool = recreates) -> bool:
            status = stage.kubectl.get("isvc", HOST)["status"]
            strategy = stage.kubectl.get("deployment", DEPLOYMENT)["spec"]["strategy"]
            return bool(
                status["observedGeneration"] == generation
                and (strategy["type"] == "Recreate") == recreates
                and ("rollingUpdate" in strategy) != recreates
                and condition({"status": status}).get("status") == "True"
                and "reason" not in condition({"status": status}, "PredictorReady")
            )

        await eventually_in_thread(is_followed, f"the Deployment has the strategy {given}")
