"""Inputs 3 and 4: declared memory of models and hosts."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.capacity import MEMORY_ADVICE
from tests.inputs.refusals import create_host, lines_about, refusal
from tests.inputs.webhook_client import WebhookClient
from tests.support import make
from tests.support.kubectl import Kubectl
from tests.support.webhook import DENIED, Webhook
from tests.webhook.reviews import review_of

PATH = "spec.model.memory"
HOST_PATH = "spec.predictor.triton.resources.limits"
ALLOWED = "must be a quantity greater than 0 in whole bytes, such as 512Mi or 1Gi"
BAD: dict[Any, str] = {
    "": "'' is not a quantity",
    "0": "'0' is not greater than 0",
    "-1Gi": "'-1Gi' is not greater than 0",
    "1gi": "'1gi' is not a quantity",
    " 1Gi": "' 1Gi' is not a quantity",
    "NaN": "'NaN' is not a quantity",
    "1.5": "'1.5' is not a whole number of bytes",
    "0.1m": "'0.1m' is not a whole number of bytes",
    "9999999999Ei": "'9999999999Ei' is more than any machine has",
    "9Ei": "'9Ei' is more than any machine has",
    0: "'0' is not greater than 0",
    -1: "'-1' is not greater than 0",
}
"""Values, with the webhook's sentence."""
NO_TEXT_OR_NUMBER = {"true": (True, '"boolean"'), "a float": (1.5, '"number"'), "a list": ([], '"array"')}
GOOD = ["1e3", "1E", "1.5Gi", "1.0", 1073741824]


@pytest.mark.parametrize("memory", BAD, ids=repr)
def test_input_03_invalid_memory_is_refused_with_its_path(webhook: Webhook, memory: Any) -> None:
    message = refusal(lambda: webhook.kubectl.try_out(make.model_object(memory=memory)))
    assert lines_about(PATH, message) == [f"{PATH}: {BAD[memory]}; it {ALLOWED}"]


@pytest.mark.parametrize(("memory", "found"), NO_TEXT_OR_NUMBER.values(), ids=NO_TEXT_OR_NUMBER)
def test_input_03_memory_of_another_type_is_refused_by_the_schema(
    kubectl_without_webhook: Kubectl, memory: Any, found: str
) -> None:
    message = refusal(lambda: kubectl_without_webhook.try_out(make.model_object(memory=memory)))
    assert f"{PATH}: Invalid value: {found}: {PATH} in body must be of type integer,string" in message


def test_input_03_missing_memory_is_refused_with_its_path(kubectl_without_webhook: Kubectl) -> None:
    null: Any = None
    assert f"{PATH}: Required value" in refusal(lambda: kubectl_without_webhook.try_out(make.model_object(memory=null)))


@pytest.mark.parametrize("memory", [*BAD, True, 1.5, None, [], {}], ids=repr)
async def test_input_03_webhook_refuses_invalid_memory_with_the_allowed_values(
    webhook_client: WebhookClient, memory: Any
) -> None:
    response = await webhook_client.review(review_of(make.model_object(memory=memory)))
    assert response["allowed"] is False
    message = response["status"]["message"]
    assert message.startswith(f"{PATH}: {BAD.get(memory, '') if isinstance(memory, str | int) else ''}")
    assert message.endswith(f"it {ALLOWED}")


@pytest.mark.parametrize("memory", GOOD, ids=repr)
def test_input_03_each_notation_of_whole_bytes_is_accepted(
    kubectl_without_webhook: Kubectl, webhook: Webhook, memory: str | int
) -> None:
    for kubectl in (kubectl_without_webhook, webhook.kubectl):
        assert "created" in kubectl.try_out(make.model_object(memory=memory))


@pytest.mark.parametrize("memory", ["", "0", "-1Gi", "1gi", "NaN", "1.5", "0.1m", "9Ei"], ids=repr)
def test_input_03_invalid_memory_limit_of_host_is_refused(webhook: Webhook, memory: str) -> None:
    message = refusal(lambda: webhook.kubectl.try_out(make.host_object(memory=memory)))
    allowed = (ALLOWED, "must be a quantity, such as 500m, 1 or 2Gi, and not negative")
    assert lines_about(f"{HOST_PATH}.memory", message)[0].endswith(allowed) or f"it {ALLOWED}; " in message


def test_input_03_invalid_resources_of_host_are_refused(webhook: Webhook) -> None:
    resources = {"limits": {"cpu": "-1"}, "requests": {"nvidia.com/gpu": "two"}}
    message = refusal(lambda: webhook.kubectl.try_out(make.host_object(triton={"resources": resources})))
    sentence = "is not a quantity; it must be a quantity, such as 500m, 1 or 2Gi, and not negative"
    assert f"resources.limits.cpu: '-1' {sentence}" in message
    assert f"resources.requests.nvidia.com/gpu: 'two' {sentence}" in message


def test_input_04_memory_in_another_notation_is_accepted_and_larger_memory_refused(webhook: Webhook) -> None:
    kubectl, host = webhook.kubectl, "input-04"
    create_host(kubectl, make.host_object(host, memory="2Gi"))
    model = make.model_object("input-04", host=host, memory="1Gi")
    kubectl.create(model)
    kubectl.create(make.model_object("input-04-other", host=host, memory="512Mi"))
    assert "configured" in kubectl.apply(kubectl.here(_with(model, "1024Mi")))
    message = refusal(lambda: kubectl.apply(kubectl.here(_with(model, "2Gi"))))
    assert message.endswith(
        f"{DENIED}: {PATH}: 2Gi does not fit on {host}: 512Mi of 2Gi is used by 1 model "
        "(largest: input-04-other 512Mi), 1.50Gi free. "
        f"{MEMORY_ADVICE}"
    )
    assert kubectl.get("tm", "input-04")["spec"]["model"]["memory"] == "1024Mi"
    assert "configured" in kubectl.apply(kubectl.here(_with(model, "1.5Gi")))


def _with(model: dict[str, Any], memory: str) -> dict[str, Any]:
    spec = model["spec"]
    return model | {"spec": spec | {"model": spec["model"] | {"memory": memory}}}
