"""Input 18: a model with an absent or deleted host waits, an invalid host is refused, and a changed host takes over."""

from __future__ import annotations

import json

import pytest

from manyserve.api import names
from tests.contract.stage import HOST, Stage
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Refused, condition
from tests.support.webhook import Webhook

OTHER = "other"


def placed_by(stage: Stage, name: str) -> str | None:
    """Return the host that the model's status names; no model has an owner reference."""
    model = stage.kubectl.get("tm", name)
    assert "ownerReferences" not in model["metadata"]
    host: str | None = model["status"].get("placedBy", {}).get("name")
    return host


def placed_on(stage: Stage, host: str) -> list[str]:
    if not stage.kubectl.exists("configmap", names.model_config(host)):
        return []
    text = stage.kubectl.get("configmap", names.model_config(host))["data"]["models.json"]
    return [each["modelName"] for each in json.loads(text)]


async def test_input_18_model_waits_for_absent_host_by_name(stage: Stage) -> None:
    stage.apply(make.model_object())
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10"), "the model has a status")
    ready = stage.ready("tm", "cifar10")
    assert (ready["status"], ready["reason"]) == ("False", "InferenceServiceNotFound")
    assert ready["message"] == (
        f"waiting for InferenceService {HOST}, which does not exist in namespace {stage.kubectl.namespace}"
    )
    assert placed_by(stage, "cifar10") is None, "no host has placed it"
    stage.apply(make.host_object())
    await eventually_in_thread(
        lambda: stage.ready("tm", "cifar10").get("status") == "True", "the host comes, and it answers"
    )
    assert placed_by(stage, "cifar10") == HOST


def test_input_18_invalid_host_name_is_refused(webhook: Webhook) -> None:
    for name in ("ns/x", "Triton", "9", "-a", "a b", "a.b"):
        with pytest.raises(Refused) as error:
            webhook.kubectl.apply(webhook.kubectl.here(make.model_object(host=name)))
        assert f"spec.inferenceService: '{name}' is not the name of an InferenceService" in str(error.value)
        assert "must be letters, digits and '-' and start with a letter" in str(error.value)


async def test_input_18_host_being_deleted_gets_no_model(stage: Stage) -> None:
    stage.apply(make.host_object())
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    stage.kubectl("patch", "isvc", HOST, "--type=merge", "-p", '{"metadata": {"finalizers": ["example.com/held"]}}')
    stage.kubectl("delete", "isvc", HOST, "--wait=false")
    stage.apply(make.model_object())
    await eventually_in_thread(
        lambda: "being deleted" in stage.ready("tm", "cifar10").get("message", ""), "the deletion is reported"
    )
    assert stage.ready("tm", "cifar10")["message"] == f"waiting for InferenceService {HOST}, which is being deleted"
    assert stage.placed() == []
    stage.kubectl("patch", "isvc", HOST, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    await eventually_in_thread(
        lambda: "does not exist" in stage.ready("tm", "cifar10").get("message", ""), "then it is gone", 40
    )
    assert stage.kubectl.exists("tm", "cifar10"), "a model that the host never had does not go with it"


async def test_input_18_host_without_multi_model_serving_is_reported_with_the_setting(stage: Stage) -> None:
    off = {"triton": {"image": "example/tritonserver", "supportedFrameworks": make.FRAMEWORKS}}
    patch = json.dumps({"data": {"predictors": json.dumps(off)}})
    stage.kubectl("patch", "configmap", "inferenceservice-config", "--type=merge", "-p", patch)
    stage.apply(make.host_object(), make.model_object())
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("reason") == "IsNotMMSPredictor", "the reason")
    assert stage.ready("tm", "cifar10")["message"] == (
        "multi-model serving is off for triton: predictors.triton.multiModelServer in inferenceservice-config"
    )
    assert stage.placed() == []


async def test_input_18_model_with_changed_host_moves_to_it(stage: Stage) -> None:
    stage.apply(make.host_object(), make.host_object(OTHER), make.model_object(), make.model_object("stays"))
    await eventually_in_thread(
        lambda: stage.ready("tm", "cifar10").get("status") == "True", "it answers on the first host"
    )
    assert placed_by(stage, "cifar10") == HOST

    stage.apply(make.model_object(host=OTHER))
    await eventually_in_thread(lambda: placed_on(stage, OTHER) == ["cifar10"], "it is placed on the other")
    await eventually_in_thread(lambda: stage.placed() == ["stays"], "and leaves the first")
    await eventually_in_thread(lambda: placed_by(stage, "cifar10") == OTHER, "its status names the other host")
    host_ready = condition(stage.kubectl.get("tm", "cifar10"), "InferenceServiceReady")
    assert host_ready["message"].startswith(f"{OTHER} is not ready: "), "the message is about the other host"

    stage.kubectl("delete", "isvc", HOST)
    await eventually_in_thread(
        lambda: not stage.kubectl.exists("tm", "stays"), "the models of the first host are deleted", 60
    )
    assert stage.kubectl.exists("tm", "cifar10"), "other models stay"
