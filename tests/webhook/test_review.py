"""Reviews of arbitrary bodies and objects: each gets a decision, or a `BadReviewError` with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.webhook.admission import BadReviewError
from manyserve.webhook.review import review
from tests.support.make import host_object, model_object
from tests.webhook.reviews import being_deleted, cache_of, message, review_of

VIEW = cache_of(host_object(), model_object("first")).view()


def changed(**fields: Any) -> dict[str, Any]:
    return review_of(model_object()) | fields


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (None, "the body is not an AdmissionReview"),
        ([], "the body is not an AdmissionReview"),
        ({}, "the body is not an AdmissionReview"),
        (changed(kind="Pod"), "the body is not an AdmissionReview"),
        (
            changed(apiVersion="admission.k8s.io/v1beta1"),
            "apiVersion 'admission.k8s.io/v1beta1' is not supported; it must be admission.k8s.io/v1",
        ),
        (changed(request=None), "the AdmissionReview has no request with a uid"),
        (changed(request={}), "the AdmissionReview has no request with a uid"),
        (review_of(model_object(), uid=""), "the AdmissionReview has no request with a uid"),
        (review_of(model_object(), operation="DELETE"), "operation 'DELETE' is not reviewed; only"),
        (review_of(model_object(), operation="CONNECT"), "operation 'CONNECT' is not reviewed; only"),
        (review_of(model_object(), kind={"kind": "Pod"}), "kind 'Pod' is not reviewed; only InferenceService"),
        (review_of(model_object(), kind=None), "kind null is not reviewed; only"),
    ],
)
def test_review_of_unsuitable_body_is_bad_request(body: Any, sentence: str) -> None:
    with pytest.raises(BadReviewError) as caught:
        review(body, VIEW)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("thing", [None, 7, "x", []])
def test_review_without_object_is_denied_under_its_uid(thing: Any) -> None:
    outcome = review(review_of(model_object(), object=thing), VIEW)
    assert not outcome.allowed
    assert outcome.response["response"]["uid"] == "review-1"
    assert message(outcome).startswith("the request's object is ")


def test_review_of_update_without_old_object_is_denied() -> None:
    outcome = review(review_of(model_object(), operation="UPDATE"), VIEW)
    assert message(outcome) == "the request's oldObject is null; it must be an object"


def test_review_allows_write_of_status() -> None:
    old = model_object(memory="1")
    assert review(review_of(model_object(memory="0"), old, subResource="status"), VIEW).allowed


def test_review_allows_object_out_of_scope() -> None:
    cache = cache_of()
    wrong = review_of(model_object(memory="0"))
    assert not review(wrong, cache.view()).allowed
    cache.in_scope = lambda namespace: namespace != "default"
    assert review(wrong, cache.view()).allowed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_review_of_any_body_raises_bad_review_only(body: Any) -> None:
    with pytest.raises(BadReviewError):
        review(body, VIEW)


FIELDS = ["spec", "metadata", "name", "predictor", "triton", "containers", "resources", "limits", "memory", "model"]
MORE_FIELDS = ["framework", "storageUri", "inferenceService", "env", "ports", "args", "status", "conditions"]
WORDS = st.sampled_from([*FIELDS, *MORE_FIELDS])
OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["1Gi", "gs://bucket/x", "triton-mms"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)


@given(
    uid=st.text(min_size=1),
    thing=st.dictionaries(WORDS, OBJECTS),
    old=st.none() | st.dictionaries(WORDS, OBJECTS),
    model=st.booleans(),
)
def test_review_of_any_object_answers_under_its_uid(uid: str, thing: Any, old: Any, *, model: bool) -> None:
    whole = review_of(model_object() if model else host_object(), uid=uid, object=thing, oldObject=old)
    whole["request"]["operation"] = "CREATE" if old is None else "UPDATE"
    response = review(whole, VIEW).response["response"]
    assert response["uid"] == uid
    assert isinstance(response["allowed"], bool)
    assert response["allowed"] or response["status"]["message"].isprintable()
    json.dumps(response)


@given(st.dictionaries(WORDS, OBJECTS), st.dictionaries(WORDS, OBJECTS))
def test_cache_accepts_any_object(host: Any, model: Any) -> None:
    cache = cache_of()
    metadata = {"metadata": {"name": "x", "namespace": "default"}}
    cache.host_changed(None, host | metadata)
    cache.model_changed(None, model | metadata)
    cache.model_changed(model | metadata, None)
    cache.host_changed(host | metadata, None)
    assert cache.view().hosts == {}


def test_review_of_host_that_becomes_managed_is_review_of_create() -> None:
    host = host_object()
    host["spec"]["predictor"]["triton"]["foo"] = 1
    unmanaged = host | {"metadata": host["metadata"] | {"finalizers": ["inferenceservice.finalizers"]}}
    assert review(review_of(unmanaged, unmanaged), VIEW).allowed, "KServe manages it"
    refused = review(review_of(host, unmanaged), VIEW)
    assert "spec.predictor.triton.foo" in message(refused)
    assert review(review_of(host, host), VIEW).allowed, "its spec stays as it was"
    assert review(review_of(being_deleted(host), unmanaged), VIEW).allowed, "removal of a finalizer is never refused"
    assert review(review_of(host_object(), unmanaged), VIEW).allowed


def test_review_of_model_that_becomes_managed_is_review_of_create() -> None:
    model = model_object("second", memory="64Gi")
    unmanaged = model | {"metadata": model["metadata"] | {"finalizers": ["trainedmodel.finalizer"]}}
    assert review(review_of(unmanaged, unmanaged), VIEW).allowed
    assert "64Gi" in message(review(review_of(model, unmanaged), VIEW))
