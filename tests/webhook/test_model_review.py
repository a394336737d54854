"""Reviews of TrainedModels."""

from __future__ import annotations

import pytest

from tests.support import uris
from tests.support.make import host_object, model_object
from tests.webhook.reviews import ask, being_deleted, cache_of, message, waiting, warnings

pytestmark = pytest.mark.usefixtures("both_forms")
FIRST = model_object("cifar10")
SECOND = model_object("simple-string", framework="tensorflow")
THIRD = model_object("third")


def test_model_review_allows_model_that_fits_without_warning() -> None:
    outcome = ask(cache_of(host_object(), FIRST), SECOND)
    assert outcome.response == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "review-1", "allowed": True},
    }


def test_model_review_refuses_model_that_does_not_fit_with_figures() -> None:
    outcome = ask(cache_of(host_object(), FIRST, SECOND), THIRD)
    assert outcome.response["response"]["status"] == {
        "code": 403,
        "reason": "Forbidden",
        "message": "spec.model.memory: 1Gi does not fit on triton-mms: 2Gi of 2Gi is used by 2 models "
        "(largest: cifar10 1Gi, simple-string 1Gi), 0 free. "
        "Lower spec.model.memory, delete a model, or raise the memory limit of the host's server.",
    }


def test_model_review_refuses_unsupported_framework_and_lists_supported() -> None:
    outcome = ask(cache_of(host_object()), model_object(framework="sklearn"))
    assert message(outcome) == (
        "spec.model.framework: triton-mms runs triton, which does not support framework sklearn; "
        "it supports: tensorrt, tensorflow, onnx, pytorch, caffe2"
    )


def test_model_review_refuses_all_wrong_fields_in_one_message() -> None:
    outcome = ask(cache_of(host_object()), model_object(memory="0", uri="ftp://b/x"))
    assert outcome.response["response"]["status"]["code"] == 422
    assert "spec.model.memory: '0' is not greater than 0" in message(outcome)
    assert "'ftp://b/x' has an unknown scheme" in message(outcome)


@pytest.mark.parametrize(("uri", "sentence"), uris.MALFORMED.values(), ids=uris.MALFORMED)
def test_input_07_model_review_refuses_malformed_uri_without_its_secret(uri: str, sentence: str) -> None:
    outcome = ask(cache_of(host_object()), model_object(uri=uri))
    assert outcome.response["response"]["status"]["code"] == 422
    assert sentence in message(outcome)
    assert "pw" not in message(outcome)


def test_input_07_model_review_refuses_uri_of_64_kib_in_short_message() -> None:
    assert "a text of 65548 characters is not allowed" in message(
        ask(cache_of(host_object()), model_object(uri=uris.TOO_LONG))
    )


@pytest.mark.parametrize(("uri", "sentence"), uris.NOT_PUBLIC.items())
def test_input_08_model_review_refuses_literal_address_that_is_not_public(uri: str, sentence: str) -> None:
    assert sentence in message(ask(cache_of(host_object()), model_object(uri=uri)))


@pytest.mark.parametrize("uri", uris.GOOD)
def test_model_review_allows_each_uri_format(uri: str) -> None:
    assert ask(cache_of(host_object()), model_object(uri=uri)).allowed


def test_model_review_allows_uris_by_configuration() -> None:
    https = {"https": {"allowHttp": True, "allowedNetworks": ["10.0.0.0/8"]}}
    for uri, fine in {
        "http://example.com/m.tar": True,
        "http://10.0.0.1/m.tar": True,
        "http://minio.storage.svc/m.tar": True,
        "http://169.254.169.254/m.tar": False,
    }.items():
        assert ask(cache_of(host_object(), credentials=https), model_object(uri=uri)).allowed is fine
        assert ask(cache_of(host_object()), model_object(uri=uri)).allowed is False


def test_model_review_allows_update_of_model_with_uri_forbidden_later() -> None:
    old = model_object(uri="http://example.com/m.tar")
    assert ask(cache_of(host_object()), model_object(uri="http://example.com/m.tar", memory="512Mi"), old).allowed


def test_model_review_warns_about_absent_host() -> None:
    outcome = ask(cache_of(), FIRST)
    assert outcome.allowed
    assert warnings(outcome) == ["waits for InferenceService triton-mms, which does not exist in namespace default yet"]


def test_model_review_ignores_host_of_another_namespace() -> None:
    outcome = ask(cache_of(host_object()), FIRST, namespace="elsewhere")
    assert "does not exist in namespace elsewhere yet" in warnings(outcome)[0]


def test_model_review_warns_about_host_that_is_being_deleted() -> None:
    outcome = ask(cache_of(being_deleted(host_object())), FIRST)
    assert outcome.allowed
    assert "which is being deleted" in warnings(outcome)[0]


def test_model_review_warns_about_unreadable_host() -> None:
    broken = host_object() | {"spec": {"predictor": {"triton": "yes"}}}
    assert "cannot be read" in warnings(ask(cache_of(broken), FIRST))[0]


def test_model_review_warns_while_multi_model_serving_is_off() -> None:
    outcome = ask(cache_of(host_object(), multi_model=False), FIRST)
    assert outcome.allowed
    assert "predictors.triton.multiModelServer" in warnings(outcome)[0]


def test_model_review_ignores_memory_of_waiting_and_deleted_models() -> None:
    cache = cache_of(host_object(), FIRST, waiting(SECOND), being_deleted(model_object("old")))
    assert ask(cache, THIRD).allowed


def test_model_review_allows_equal_and_lower_memory_on_full_host() -> None:
    cache = cache_of(host_object(), FIRST, SECOND)
    for memory in ("1024Mi", 1024**3, "512Mi"):
        assert ask(cache, model_object("cifar10", memory=memory), FIRST).allowed


def test_model_review_allows_more_memory_while_it_fits() -> None:
    cache = cache_of(host_object(), FIRST)
    assert ask(cache, model_object("cifar10", memory="2Gi"), FIRST).allowed
    assert not ask(cache, model_object("cifar10", memory="3Gi"), FIRST).allowed


def test_model_review_refuses_memory_beyond_limit() -> None:
    outcome = ask(cache_of(host_object(), FIRST, SECOND), model_object("cifar10", memory="2Gi"), FIRST)
    assert "2Gi does not fit on triton-mms: 1Gi of 2Gi is used by 1 model" in message(outcome)


def test_model_review_of_moved_model_uses_new_host() -> None:
    full = [host_object("full", memory="1Gi"), model_object("there", host="full")]
    cache = cache_of(host_object(), FIRST, *full)
    assert "does not fit on full" in message(ask(cache, model_object("cifar10", host="full"), FIRST))
    assert ask(cache, model_object("there"), full[1]).allowed


def test_model_review_allows_update_of_waiting_model() -> None:
    cache = cache_of(host_object(), FIRST, SECOND, waiting(THIRD))
    assert ask(cache, model_object("third", uri="gs://bucket/other"), THIRD).allowed


def test_model_review_allows_changes_of_metadata() -> None:
    old = model_object(memory="0", framework="sklearn")
    new = old | {"metadata": old["metadata"] | {"ownerReferences": [{"uid": "x"}], "labels": {"a": "b"}}}
    assert ask(cache_of(host_object()), new, old).allowed


def test_model_review_allows_any_change_of_model_that_is_being_deleted() -> None:
    old = model_object()
    assert ask(cache_of(host_object()), being_deleted(model_object(memory="0")), old).allowed


def test_model_review_ratchets_old_violations() -> None:
    old = model_object(uri="ftp://bucket/x")
    assert ask(cache_of(host_object()), model_object(uri="ftp://bucket/x", memory="512Mi"), old).allowed
    assert not ask(cache_of(host_object()), model_object(uri="ftp://bucket/x", memory="0"), old).allowed


def test_model_review_allows_correction_of_unreadable_model() -> None:
    old = model_object() | {"spec": {"model": 7}}
    assert ask(cache_of(host_object()), model_object(), old).allowed


@pytest.mark.parametrize("count", [1, 2, 20])
def test_model_review_admits_burst_of_models_up_to_limit(count: int) -> None:
    cache = cache_of(host_object(memory=f"{count}Gi"))
    answers = [ask(cache, model_object(f"m{index}")).allowed for index in range(50)]
    assert answers == [True] * count + [False] * (50 - count)


def test_reservation_of_model_reviewed_twice_counts_once() -> None:
    cache = cache_of(host_object(memory="1Gi"))
    assert ask(cache, FIRST).allowed
    assert ask(cache, FIRST).allowed


def test_model_review_of_dry_run_reserves_nothing() -> None:
    cache = cache_of(host_object(memory="1Gi"))
    assert ask(cache, FIRST, dryRun=True).allowed
    assert ask(cache, SECOND).allowed
    assert not ask(cache, THIRD, dryRun=True).allowed


def test_reservation_of_raised_memory_is_the_difference() -> None:
    cache = cache_of(host_object(memory="4Gi"), FIRST)
    assert ask(cache, model_object("cifar10", memory="3Gi"), FIRST).allowed
    assert "3Gi of 4Gi is used by 1 model (largest: cifar10 3Gi)" in message(
        ask(cache, model_object("x", memory="2Gi"))
    )
    assert ask(cache, model_object("y")).allowed


def test_model_review_allows_any_framework_on_custom_server() -> None:
    env = [{"name": "MULTI_MODEL_SERVER", "value": "true"}]
    own = host_object(triton=None, containers=[{"image": "x", "env": env}])
    assert ask(cache_of(own), model_object(framework="sklearn")).allowed


def test_model_review_messages_stay_within_limits_of_api_server() -> None:
    models = [model_object(f"{'m' * 190}{index}", memory=1) for index in range(9)]
    cache = cache_of(host_object(memory="9"), *models)
    assert len(message(ask(cache, model_object(memory="1Gi")))) <= 1024
    long = model_object(framework="A" * 60, memory="x" * 5000, host="B" * 60, uri="f://" + "o" * 2000)
    assert len(message(ask(cache, long | {"metadata": {"name": "C" * 250}}))) <= 1024
    assert all(len(each) <= 256 for each in warnings(ask(cache, model_object(host="h" * 63), namespace="n" * 500)))
