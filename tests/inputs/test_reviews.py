"""Input 22: reviews without a valid object, straight to the webhook's port."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.inputs.webhook_client import WebhookClient
from tests.support import make
from tests.webhook.reviews import review_of

MODEL = make.model_object()


def review(**fields: Any) -> bytes:
    """Return the review of a valid model, with these fields of the request."""
    return json.dumps(review_of(MODEL, **fields)).encode()


def without(field: str) -> bytes:
    """Return a review without a field of the request."""
    admission_review = review_of(MODEL)
    del admission_review["request"][field]
    return json.dumps(admission_review).encode()


def kind(name: str, group: str = "serving.kserve.io", version: str = "v1alpha1") -> dict[str, str]:
    return {"group": group, "version": version, "kind": name}


NO_REVIEWS = {
    "empty": (b"", "the body is empty"),
    "a page": (b"<html><body>hello</body></html>", "the body is not JSON"),
    "half of a review": (review()[:200], "the body is not JSON"),
    "no text": (b"\xff\xfe\xfd", "the body is not JSON"),
    "nested without end": (b"[" * 100_000, "the body is nested too deeply"),
    "a number without end": (b"9" * 100_000, "the body is not JSON"),
    "null": (b"null", "the body is not an AdmissionReview"),
    "a list": (b"[]", "the body is not an AdmissionReview"),
    "another kind": (b'{"kind": "Pod"}', "the body is not an AdmissionReview"),
    "v1beta1": (
        json.dumps(review_of(MODEL) | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(),
        "apiVersion 'admission.k8s.io/v1beta1' is not supported; it must be admission.k8s.io/v1",
    ),
    "no request": (
        b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}',
        "the AdmissionReview has no request with a uid",
    ),
    "no uid": (without("uid"), "the AdmissionReview has no request with a uid"),
    "an empty uid": (review(uid=""), "the AdmissionReview has no request with a uid"),
    "a uid that is no text": (review(uid=7), "the AdmissionReview has no request with a uid"),
    "an unknown kind": (review(kind=kind("Pod")), "kind 'Pod' is not reviewed; only InferenceService v1beta1"),
    "another group's kind": (review(kind=kind("TrainedModel", "example.com")), "kind 'TrainedModel' is not reviewed"),
    "another version": (review(kind=kind("TrainedModel", version="v1")), "kind 'TrainedModel' is not reviewed"),
    "no kind": (without("kind"), "kind null is not reviewed"),
    "DELETE": (review(operation="DELETE", object=None), "operation 'DELETE' is not reviewed; only CREATE and UPDATE"),
    "CONNECT": (review(operation="CONNECT"), "operation 'CONNECT' is not reviewed; only CREATE and UPDATE are"),
    "no operation": (without("operation"), "operation null is not reviewed"),
}
DENIED = {
    "no object": (review(object=None), "the request's object is null; it must be an object"),
    "an object that is a list": (review(object=[]), "the request's object is a list; it must be an object"),
    "an update of nothing": (
        review(operation="UPDATE", oldObject=None),
        "the request's oldObject is null; it must be an object",
    ),
    "an object without anything": (review(object={}), "metadata: null is not allowed; it must be an object"),
    "no spec": (review(object=MODEL | {"spec": None}), "spec: null is not allowed; it must be an object"),
    "a spec that is a text": (review(object=MODEL | {"spec": "x"}), "spec: 'x' is not allowed; it must be an object"),
    "metadata that is a list": (review(object=MODEL | {"metadata": []}), "metadata: a list is not allowed"),
}


@pytest.mark.parametrize(("body", "sentence"), NO_REVIEWS.values(), ids=NO_REVIEWS)
async def test_input_22_malformed_review_is_a_bad_request_with_one_line(
    healthy_webhook: WebhookClient, body: bytes, sentence: str
) -> None:
    status, text = await healthy_webhook.send("POST", body)
    assert (status, text.count("\n")) == (400, 1)
    assert text.startswith(sentence)


@pytest.mark.parametrize(("body", "sentence"), DENIED.values(), ids=DENIED)
async def test_input_22_review_without_valid_object_is_denied_under_its_uid(
    healthy_webhook: WebhookClient, body: bytes, sentence: str
) -> None:
    response = await healthy_webhook.review(json.loads(body))
    assert (response["uid"], response["allowed"]) == ("review-1", False)
    assert response["status"]["message"].startswith(sentence)
    assert response["status"]["code"] in (400, 422)


async def test_input_22_review_of_status_is_allowed(healthy_webhook: WebhookClient) -> None:
    bad = make.model_object(memory="0")
    response = await healthy_webhook.review(review_of(bad, MODEL, uid="status-1", subResource="status"))
    assert response == {"uid": "status-1", "allowed": True}


@pytest.mark.parametrize("uid", ["x" * 253, "\ud800", "a\r\nSet-Cookie: b", "<script>"], ids=ascii)
async def test_input_22_unusual_uid_is_returned_unchanged(healthy_webhook: WebhookClient, uid: str) -> None:
    assert (await healthy_webhook.review(review_of(make.model_object(memory="0"), uid=uid)))["uid"] == uid


async def test_input_22_concurrent_reviews_are_all_answered(healthy_webhook: WebhookClient) -> None:
    bodies = [body for body, _ in [*NO_REVIEWS.values(), *DENIED.values()]]
    good = json.dumps(review_of(make.model_object(host="nobody", memory=1))).encode()
    requests = [bodies[index % len(bodies)] if index % 2 else good for index in range(500)]
    answers = await asyncio.gather(*(healthy_webhook.send("POST", body) for body in requests))
    assert [status for status, _ in answers[::2]] == [200] * 250
    assert {status for status, _ in answers[1::2]} == {200, 400}
    assert not any("Traceback" in text for _, text in answers)
