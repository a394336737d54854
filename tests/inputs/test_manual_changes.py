"""Input 26: manual changes to child objects. Each test is one row of a table in docs/operations.md."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from functools import partial
from typing import Any

from manyserve.api import names
from manyserve.api.modelconfig import pack
from tests.contract.stage import HOST, Stage
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import condition

CONFIG = names.model_config(HOST)
DEPLOYMENT = names.deployment(HOST)
GHOST = {"modelName": "ghost", "modelSpec": {"storageUri": "gs://x/y", "framework": "onnx", "memory": "1"}}


async def with_two_models(stage: Stage, **predictor: Any) -> None:
    stage.apply(make.host_object(**predictor), make.model_object("a"), make.model_object("b", memory="512Mi"))
    await eventually_in_thread(lambda: stage.placed() == ["a", "b"], "both are placed")
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")


def edit(stage: Stage, kind: str, name: str, **fields: object) -> None:
    stage.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(fields))


def text(stage: Stage) -> str:
    return str(stage.kubectl.get("configmap", CONFIG).get("data", {}).get("models.json"))


async def test_input_26_edited_models_json_is_restored(stage: Stage) -> None:
    await with_two_models(stage)
    right = text(stage)
    a, b = json.loads(right)
    large = a | {"modelSpec": a["modelSpec"] | {"memory": "900Gi"}}
    edits: tuple[dict[str, Any], ...] = (
        *({"data": {"models.json": json.dumps(each)}} for each in ([a, b, GHOST], [a], [large, b], "no list")),
        {"data": {"models.json": None}},
        {"binaryData": {"models.json.gz": b64encode(pack("[]")).decode()}},
    )
    for fields in edits:
        edit(stage, "configmap", CONFIG, **fields)
        await eventually_in_thread(lambda: text(stage) == right, f"the text is restored, after {fields}")
        await eventually_in_thread(
            lambda: "binaryData" not in stage.kubectl.get("configmap", CONFIG), "the packed form is removed"
        )
    await eventually_in_thread(lambda: stage.ready("tm", "a").get("status") == "True", "its models answer")


async def test_input_26_removed_owner_reference_of_a_child_is_restored(stage: Stage) -> None:
    await with_two_models(stage)
    written = len(stage.kubelet.configs)
    children = [("deployment", DEPLOYMENT), ("service", HOST), ("ingress", HOST), ("configmap", CONFIG)]
    for kind, name in children:
        edit(stage, kind, name, metadata={"ownerReferences": None})
    uid = stage.kubectl.get("isvc", HOST)["metadata"]["uid"]

    def is_owned(kind: str, name: str) -> bool:
        owners = stage.kubectl.get(kind, name)["metadata"].get("ownerReferences", ())
        return [each["uid"] for each in owners] == [uid]

    for child in children:
        await eventually_in_thread(partial(is_owned, *child), f"the host owns {child} again")
    assert len(stage.kubelet.configs) == written, "models.json is unchanged"
    stage.apply(make.model_object("c", memory="256Mi"))
    await eventually_in_thread(lambda: stage.placed() == ["a", "b", "c"], "the next model is placed")


async def test_input_26_manual_replicas_of_a_host_without_autoscaler_are_reset(stage: Stage) -> None:
    await with_two_models(stage)
    generation = stage.kubectl.get("deployment", DEPLOYMENT)["metadata"]["generation"]
    stage.kubectl("scale", "deployment", DEPLOYMENT, "--replicas=0")

    def is_reset() -> bool:
        deployment = stage.kubectl.get("deployment", DEPLOYMENT)
        return bool(deployment["metadata"]["generation"] >= generation + 2 and deployment["spec"]["replicas"] == 1)

    await eventually_in_thread(is_reset, "the Deployment asks for one replica again")
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "and the host answers")


async def test_input_26_autoscaled_host_at_zero_replicas_stays_there(stage: Stage) -> None:
    await with_two_models(stage, minReplicas=1, maxReplicas=3)
    stage.kubectl("scale", "deployment", DEPLOYMENT, "--replicas=0")
    await eventually_in_thread(
        lambda: stage.ready("isvc", HOST).get("reason") == "ScaledToZero", "the host does not answer"
    )
    ready = stage.ready("isvc", HOST)
    assert ready["message"] == "the Deployment is scaled to 0 replicas, and no autoscaler scales up from there"
    assert ready["status"] == "False"
    assert stage.kubectl.get("deployment", DEPLOYMENT)["spec"]["replicas"] == 0
    await eventually_in_thread(
        lambda: stage.ready("tm", "a").get("reason") == "InferenceServiceNotReady", "its models say so"
    )
    assert stage.placed() == ["a", "b"], "both models stay placed"
    stage.kubectl("scale", "deployment", DEPLOYMENT, "--replicas=1")
    await eventually_in_thread(
        lambda: stage.ready("tm", "a").get("status") == "True", "a manual scale-up makes the host ready again"
    )


async def test_input_26_paused_deployment_stays_paused_and_is_reported(
    stage: Stage,
) -> None:
    await with_two_models(stage)
    stage.kubectl("rollout", "pause", "deployment", DEPLOYMENT)
    stage.apply(make.host_object(memory="4Gi"))

    def reason() -> str:
        return str(condition(stage.kubectl.get("isvc", HOST), "PredictorReady").get("reason"))

    await eventually_in_thread(lambda: reason() == "DeploymentPaused", "the pause is reported")
    predictor = condition(stage.kubectl.get("isvc", HOST), "PredictorReady")
    assert predictor["status"] == "True", "the existing pods answer"
    assert (
        predictor["message"]
        == "the Deployment is paused by hand; no change of the pods is rolled out until it is resumed"
    )
    await asyncio.to_thread(stage.operator._state.enqueue_all)
    assert stage.kubectl.get("deployment", DEPLOYMENT)["spec"]["paused"] is True
    stage.kubectl("rollout", "resume", "deployment", DEPLOYMENT)
    await eventually_in_thread(lambda: reason() == "None", "the reason is removed after the resumption")
