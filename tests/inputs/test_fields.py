"""Inputs 17 and 20: wrong, misspelt and reserved fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from manyserve.plan.rules.fields import quoted
from tests.inputs.refusals import create_host, refusal
from tests.inputs.webhook_client import WebhookClient
from tests.support import make
from tests.support.kubectl import Kubectl, Manifest
from tests.support.webhook import DENIED, Webhook
from tests.webhook.reviews import review_of

FRAMEWORK = "spec.model.framework"
WORD = "must be one word in lower case, such as pytorch, tensorflow or onnx"
NO_WORDS = {
    "1 MiB": "x" * 1024**2,
    "a slash": "py/torch",
    "a way up": "../pytorch",
    "a variable": "$(HOME)",
    "a command": "$(reboot)`reboot`",
    "capitals": "PyTorch",
    "nothing": "",
    "a line's end": "onnx\n",
}


@pytest.mark.parametrize("framework", NO_WORDS.values(), ids=NO_WORDS)
def test_input_17_framework_that_is_not_a_word_is_refused_briefly(webhook: Webhook, framework: str) -> None:
    message = refusal(lambda: webhook.kubectl.try_out(make.model_object(framework=framework)))
    assert f"{FRAMEWORK}: {quoted(framework)} is not a framework; it {WORD}" in message
    assert len(message) < 1000


@pytest.mark.parametrize("framework", NO_WORDS.values(), ids=NO_WORDS)
async def test_input_17_webhook_echoes_framework_cut_and_on_one_line(
    webhook_client: WebhookClient, framework: str
) -> None:
    response = await webhook_client.review(review_of(make.model_object(framework=framework)))
    message = response["status"]["message"]
    assert message.startswith(f"{FRAMEWORK}: ")
    assert message.isprintable()
    assert len(message) < 300


def test_input_17_unsupported_framework_is_refused_with_the_supported_ones(
    webhook: Webhook,
) -> None:
    create_host(webhook.kubectl, make.host_object("input-17"))
    message = refusal(
        lambda: webhook.kubectl.create(make.model_object("input-17", framework="abacus", host="input-17"))
    )
    assert message.endswith(
        f"{DENIED}: {FRAMEWORK}: input-17 runs triton, which does not support framework abacus; "
        f"it supports: {', '.join(make.FRAMEWORKS)}"
    )


def misspelt() -> Manifest:
    model = make.model_object("misspelt")
    model["spec"]["model"]["storageURI"] = "gs://bucket/other"
    return model


@pytest.mark.parametrize("validation", ["strict", "warn", "ignore"])
def test_input_20_misspelt_field_is_refused_for_each_kubectl_validation(webhook: Webhook, validation: str) -> None:
    message = refusal(lambda: webhook.kubectl.try_out(misspelt(), f"--validate={validation}"))
    assert f"{DENIED}: spec.model.storageURI: is not a field that manyserve knows; it must be left out" in message


def test_input_20_misspelt_field_is_stored_without_a_webhook(kubectl_without_webhook: Kubectl) -> None:
    kubectl_without_webhook.create(misspelt())
    assert kubectl_without_webhook.get("tm", "misspelt")["spec"] == misspelt()["spec"]


def test_input_20_missing_field_is_refused_without_kubectl_validation(
    kubectl_without_webhook: Kubectl,
) -> None:
    model = misspelt()
    del model["spec"]["model"]["storageUri"]
    message = refusal(lambda: kubectl_without_webhook.create(model, "--validate=ignore"))
    assert "spec.model.storageUri: Required value" in message


def _model(**spec: Any) -> Manifest:
    model = make.model_object()
    return model | {"spec": model["spec"] | spec}


LISTS_FOR_MAPS = {
    "a list for a model's spec": (make.model_object() | {"spec": [1]}, 'spec: Invalid value: "array"', "object"),
    "a list for the model": (_model(model=[{}]), 'spec.model: Invalid value: "array"', "object"),
    "a map for the host": (_model(inferenceService={}), 'spec.inferenceService: Invalid value: "object"', "string"),
    "a list for a host's spec": (make.host_object() | {"spec": []}, 'spec: Invalid value: "array"', "object"),
    "a list for the predictor": (
        make.host_object() | {"spec": {"predictor": [{}]}},
        'spec.predictor: Invalid value: "array"',
        "object",
    ),
    "a list for a server": (make.host_object(triton=[]), 'spec.predictor.triton: Invalid value: "array"', "object"),
    "a map for the env": (
        make.host_object(triton={"env": {}}),
        'spec.predictor.triton.env: Invalid value: "object"',
        "array",
    ),
    "a list for resources": (
        make.host_object(triton={"resources": []}),
        'spec.predictor.triton.resources: Invalid value: "array"',
        "object",
    ),
}


@pytest.mark.parametrize(("manifest", "sentence", "allowed"), LISTS_FOR_MAPS.values(), ids=LISTS_FOR_MAPS)
def test_input_20_list_for_map_and_map_for_list_are_refused_by_the_schema(
    kubectl_without_webhook: Kubectl, manifest: Manifest, sentence: str, allowed: str
) -> None:
    message = refusal(lambda: kubectl_without_webhook.try_out(manifest))
    assert sentence in message
    assert f"in body must be of type {allowed}" in message


@pytest.mark.parametrize(
    ("kind", "manifest"),
    [("isvc", make.host_object("forged")), ("tm", make.model_object("forged"))],
    ids=["isvc", "tm"],
)
def test_input_20_status_in_the_manifest_is_ignored(webhook: Webhook, kind: str, manifest: Manifest) -> None:
    kubectl = webhook.kubectl
    forged = manifest | {"status": {"url": "http://evil.example", "conditions": [{"type": "Ready", "status": "True"}]}}
    kubectl.create(forged)
    assert "status" not in kubectl.get(kind, "forged")
    labelled = json.loads(json.dumps(forged))
    labelled["metadata"]["labels"] = {"a": "b"}
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(kubectl.here(labelled)))
    stored = kubectl.get(kind, "forged")
    assert (stored["metadata"]["labels"], stored.get("status")) == ({"a": "b"}, None)
