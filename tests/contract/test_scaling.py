"""Owners of the replicas on a real API server: a change of the owner removes no running pod."""

from __future__ import annotations

import json
from typing import Any

import pytest

from manyserve.api import names
from tests.contract.stage import HOST, Manifest, Stage
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import condition

DEPLOYMENT = names.deployment(HOST)
CLASS = "serving.kserve.io/autoscalerClass"
MODES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "fixed": (None, {"minReplicas": 1}),
    "autoscaled": (None, {"minReplicas": 1, "maxReplicas": 5}),
    "traffic": (None, {"minReplicas": 1, "maxReplicas": 5, "scaleMetric": "concurrency"}),
    "external": ("external", {"minReplicas": 1}),
    "none": ("none", {"minReplicas": 1}),
}


def host(mode: str, **predictor: Any) -> Manifest:
    autoscaler_class, fields = MODES[mode]
    annotations = {CLASS: autoscaler_class} if autoscaler_class else {}
    return make.labelled({}, annotations, **(fields | predictor))


async def applied(stage: Stage, mode: str, **predictor: Any) -> None:
    """Apply the host, and wait until the Deployment has the record of its mode."""
    stage.kubectl.apply(stage.kubectl.here(host(mode, **predictor)))

    def is_followed() -> bool:
        if not stage.kubectl.exists("deployment", DEPLOYMENT):
            return False
        annotations = stage.kubectl.get("deployment", DEPLOYMENT)["metadata"]["annotations"]
        has_autoscaler = stage.kubectl.exists("hpa", DEPLOYMENT)
        return annotations[names.REPLICAS].startswith(f"{mode}/") and has_autoscaler == (mode == "autoscaled")

    await eventually_in_thread(is_followed, f"the Deployment is {mode}")


def scale(stage: Stage, replicas: int) -> None:
    """Set the replicas as the controller of an autoscaler does."""
    words = ("--subresource=scale", "--type=merge", "--field-manager=keda", "-p")
    stage.kubectl("patch", "deployment", DEPLOYMENT, *words, json.dumps({"spec": {"replicas": replicas}}))


def replicas(stage: Stage) -> int:
    return int(stage.kubectl.get("deployment", DEPLOYMENT)["spec"]["replicas"])


def scaled_down(stage: Stage) -> list[str]:
    """Return the messages of events about pods that the Deployment removed."""
    events = stage.kubectl.list("event", "--field-selector=reason=ScalingReplicaSet")
    return [each["message"] for each in events if "Scaled down" in each["message"]]


def predictor(stage: Stage) -> Manifest:
    return condition(stage.kubectl.get("isvc", HOST), "PredictorReady")


@pytest.mark.parametrize("before", MODES)
async def test_change_of_the_owner_of_replicas_removes_no_pod(stage: Stage, before: str) -> None:
    count = 3
    for after in MODES:
        if after == before:
            continue
        await applied(stage, before, minReplicas=count if before == "fixed" else 1)
        if before != "fixed":
            scale(stage, count)
        await eventually_in_thread(lambda: replicas(stage) == count, "the pods run")
        fewest = count if before == "fixed" else 1
        await applied(stage, after, minReplicas=fewest)
        await eventually_in_thread(
            lambda: (
                stage.kubectl.get("isvc", HOST)["status"]["observedGeneration"]
                == stage.kubectl.get("isvc", HOST)["metadata"]["generation"]
            ),
            "the change is observed",
        )
        assert replicas(stage) == count, f"from {before} to {after}"
    assert not scaled_down(stage), "no pod was removed in between"


async def test_replicas_follow_the_traffic_of_all_models(stage: Stage) -> None:
    stage.kubelet.in_flight = 2.5
    await applied(stage, "traffic")
    await eventually_in_thread(lambda: replicas(stage) == 3, "three replicas", 60)
    events = await eventually_in_thread(
        lambda: stage.kubectl.list("event", "--field-selector=reason=ScaledUp"), "the event is sent"
    )
    (sentence,) = (each["message"] for each in events)
    assert sentence.startswith("1 to 3 replicas: 2.")
    assert sentence.endswith(" requests in flight on average of 10 s, target 1 a replica")
    scale(stage, 5)
    await eventually_in_thread(lambda: replicas(stage) == 3, "a number by hand is put back")
    await applied(stage, "fixed")
    assert replicas(stage) == 3
    assert not [each for each in scaled_down(stage) if " to 2" in each or " to 1" in each]


async def test_autoscaler_of_a_user_scales_a_host_without_the_annotation(stage: Stage) -> None:
    await applied(stage, "fixed")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": DEPLOYMENT}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
    }
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda-hpa-scaled"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4, "metrics": [metric]},
    }
    stage.kubectl.create(autoscaler)
    await eventually_in_thread(lambda: replicas(stage) == 2, "it scales up", 60)
    await eventually_in_thread(lambda: predictor(stage).get("reason") == "OtherAutoscaler", "the host names it")
    assert predictor(stage)["message"].startswith("replicas are set by HorizontalPodAutoscaler keda-hpa-scaled, ")
    generation = stage.kubectl.get("deployment", DEPLOYMENT)["metadata"]["generation"]
    stage.operator._state.enqueue_all()
    await applied(stage, "external")
    await eventually_in_thread(lambda: predictor(stage).get("reason") == "ReplicasManaged", "the user agrees")
    assert "message" not in stage.ready("isvc", HOST), "a host that works as its user wants has no REASON"
    assert stage.kubectl.get("deployment", DEPLOYMENT)["metadata"]["generation"] == generation, "there is no fight"

    stage.kubectl("delete", "hpa", "keda-hpa-scaled")
    await applied(stage, "fixed")
    await eventually_in_thread(lambda: predictor(stage).get("reason") == "ReplicasKept", "the pods are kept")
    assert replicas(stage) == 2
    stage.kubectl("scale", "deployment", DEPLOYMENT, "--replicas=4")
    await eventually_in_thread(lambda: replicas(stage) == 2, "a larger number by hand is put back")
    stage.kubectl("scale", "deployment", DEPLOYMENT, "--replicas=1")
    await eventually_in_thread(lambda: "reason" not in predictor(stage), "a smaller number by hand is taken")
    assert replicas(stage) == 1
    stage.kubectl("scale", "deployment", DEPLOYMENT, "--replicas=2")
    await eventually_in_thread(lambda: replicas(stage) == 1, "the number is fixed again")


@pytest.mark.parametrize("mode", ["external", "none"])
async def test_replicas_of_another_owner_begin_at_min_replicas_and_are_left_alone(stage: Stage, mode: str) -> None:
    await applied(stage, mode, minReplicas=2)
    assert replicas(stage) == 2
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    await eventually_in_thread(lambda: not _managers(stage), "nobody owns the field after the creation")
    apply = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": DEPLOYMENT}, "spec": {"replicas": 3}}
    stage.kubectl("apply", "--server-side", "--field-manager=team", "-f", "-", text=json.dumps(apply))
    await eventually_in_thread(lambda: predictor(stage).get("message") == "replicas are set by team", "it is named")
    stage.kubectl.apply(stage.kubectl.here(host(mode, minReplicas=1)))
    await applied(stage, mode, minReplicas=1)
    assert replicas(stage) == 3
    assert _managers(stage) == ["team"]


def _managers(stage: Stage) -> list[str]:
    """Return the managers of the field `spec.replicas`."""
    words = ("get", "deployment", DEPLOYMENT, "-o", "json", "--show-managed-fields")
    entries = json.loads(stage.kubectl(*words))["metadata"]["managedFields"]
    assert [each["operation"] for each in entries if each["manager"] == names.MANAGER] == ["Apply"]
    return [each["manager"] for each in entries if "f:replicas" in each["fieldsV1"].get("f:spec", {})]
