"""What the webhook says to a TrainedModel."""

from __future__ import annotations

import pytest

from tests.support import uris
from tests.support.clock import FakeClock
from tests.support.make import host_object, model_object
from tests.webhook.reviews import ask, cache_of, changed, leaving, message, waiting, warnings

pytestmark = pytest.mark.usefixtures("both_forms")
FIRST = model_object("cifar10")
SECOND = model_object("simple-string", framework="tensorflow")
THIRD = model_object("third")


def test_a_model_that_fits_is_let_in_without_a_word() -> None:
    outcome = ask(cache_of(host_object(), FIRST), SECOND)
    assert outcome.response == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "review-1", "allowed": True},
    }


def test_a_third_model_is_refused_with_the_figures() -> None:
    outcome = ask(cache_of(host_object(), FIRST, SECOND), THIRD)
    assert outcome.response["response"]["status"] == {
        "code": 403,
        "reason": "Forbidden",
        "message": "spec.model.memory: 1Gi does not fit on triton-mms: 2Gi of 2Gi is used by 2 models "
        "(largest: cifar10 1Gi, simple-string 1Gi), 0 free. "
        "Lower spec.model.memory, delete a model, or raise the memory limit of the host's server.",
    }


def test_an_unsupported_framework_is_refused_with_those_that_are_supported() -> None:
    outcome = ask(cache_of(host_object()), model_object(framework="sklearn"))
    assert message(outcome) == (
        "spec.model.framework: triton-mms runs triton, which does not support framework sklearn; "
        "it supports: tensorrt, tensorflow, onnx, pytorch, caffe2"
    )


def test_wrong_fields_are_refused_all_at_once() -> None:
    outcome = ask(cache_of(host_object()), model_object(memory="0", uri="ftp://b/x"))
    assert outcome.response["response"]["status"]["code"] == 422
    assert "spec.model.memory: '0' is not greater than 0" in message(outcome)
    assert "'ftp://b/x' has an unknown scheme" in message(outcome)


@pytest.mark.parametrize(("uri", "sentence"), uris.MALFORMED.values(), ids=uris.MALFORMED)
def test_input_07_a_uri_that_is_none_is_refused_and_no_secret_is_echoed(uri: str, sentence: str) -> None:
    outcome = ask(cache_of(host_object()), model_object(uri=uri))
    assert outcome.response["response"]["status"]["code"] == 422
    assert sentence in message(outcome)
    assert "pw" not in message(outcome)


def test_input_07_a_uri_of_64_kib_is_refused_in_a_short_sentence() -> None:
    assert "a text of 65548 characters is not allowed" in message(
        ask(cache_of(host_object()), model_object(uri=uris.TOO_LONG))
    )


@pytest.mark.parametrize(("uri", "sentence"), uris.NOT_PUBLIC.items())
def test_input_08_a_literal_that_is_not_public_is_refused(uri: str, sentence: str) -> None:
    assert sentence in message(ask(cache_of(host_object()), model_object(uri=uri)))


@pytest.mark.parametrize("uri", uris.GOOD)
def test_every_form_of_uri_is_let_in(uri: str) -> None:
    assert ask(cache_of(host_object()), model_object(uri=uri)).allowed


def test_what_the_configuration_allows_is_let_in_and_nothing_else() -> None:
    https = {"https": {"allowHttp": True, "allowedNetworks": ["10.0.0.0/8"]}}
    for uri, fine in {
        "http://example.com/m.tar": True,
        "http://10.0.0.1/m.tar": True,
        "http://minio.storage.svc/m.tar": True,
        "http://169.254.169.254/m.tar": False,
    }.items():
        assert ask(cache_of(host_object(), credentials=https), model_object(uri=uri)).allowed is fine
        assert ask(cache_of(host_object()), model_object(uri=uri)).allowed is False


def test_a_model_from_before_the_configuration_forbade_its_place_may_change_elsewhere() -> None:
    old = model_object(uri="http://example.com/m.tar")
    assert ask(cache_of(host_object()), model_object(uri="http://example.com/m.tar", memory="512Mi"), old).allowed


def test_a_model_may_come_before_its_host_and_is_told_that_it_waits() -> None:
    outcome = ask(cache_of(), FIRST)
    assert outcome.allowed
    assert warnings(outcome) == ["waits for InferenceService triton-mms, which does not exist in namespace default yet"]


def test_a_host_of_another_namespace_does_not_count() -> None:
    outcome = ask(cache_of(host_object()), FIRST, namespace="elsewhere")
    assert "does not exist in namespace elsewhere yet" in warnings(outcome)[0]


def test_a_model_waits_for_a_host_that_is_on_its_way_out() -> None:
    outcome = ask(cache_of(leaving(host_object())), FIRST)
    assert outcome.allowed
    assert "which is being deleted" in warnings(outcome)[0]


def test_a_model_waits_for_a_host_that_cannot_be_read() -> None:
    broken = host_object() | {"spec": {"predictor": {"triton": "yes"}}}
    assert "cannot be read" in warnings(ask(cache_of(broken), FIRST))[0]


def test_a_model_waits_while_multi_model_serving_is_off() -> None:
    outcome = ask(cache_of(host_object(), multi_model=False), FIRST)
    assert outcome.allowed
    assert "predictors.triton.multiModelServer" in warnings(outcome)[0]


def test_models_that_wait_or_leave_take_no_memory() -> None:
    cache = cache_of(host_object(), FIRST, waiting(SECOND), leaving(model_object("old")))
    assert ask(cache, THIRD).allowed


def test_memory_may_be_written_otherwise_and_lowered_on_a_full_host() -> None:
    cache = cache_of(host_object(), FIRST, SECOND)
    for memory in ("1024Mi", 1024**3, "512Mi"):
        assert ask(cache, model_object("cifar10", memory=memory), FIRST).allowed


def test_memory_may_be_raised_while_it_fits_not_counting_its_own() -> None:
    cache = cache_of(host_object(), FIRST)
    assert ask(cache, model_object("cifar10", memory="2Gi"), FIRST).allowed
    assert not ask(cache, model_object("cifar10", memory="3Gi"), FIRST).allowed


def test_memory_may_not_be_raised_beyond_the_limit() -> None:
    outcome = ask(cache_of(host_object(), FIRST, SECOND), model_object("cifar10", memory="2Gi"), FIRST)
    assert "2Gi does not fit on triton-mms: 1Gi of 2Gi is used by 1 model" in message(outcome)


def test_a_model_that_moves_is_judged_on_its_new_host_and_not_on_the_old() -> None:
    full = [host_object("full", memory="1Gi"), model_object("there", host="full")]
    cache = cache_of(host_object(), FIRST, *full)
    assert "does not fit on full" in message(ask(cache, model_object("cifar10", host="full"), FIRST))
    assert ask(cache, model_object("there"), full[1]).allowed


def test_a_waiting_model_may_still_be_corrected() -> None:
    cache = cache_of(host_object(), FIRST, SECOND, waiting(THIRD))
    assert ask(cache, model_object("third", uri="gs://bucket/other"), THIRD).allowed


def test_labels_owners_and_finalizers_may_change_whatever_the_rules_say() -> None:
    old = model_object(memory="0", framework="sklearn")
    new = old | {"metadata": old["metadata"] | {"ownerReferences": [{"uid": "x"}], "labels": {"a": "b"}}}
    assert ask(cache_of(host_object()), new, old).allowed


def test_what_is_being_deleted_may_change_in_any_way() -> None:
    old = model_object()
    assert ask(cache_of(host_object()), leaving(model_object(memory="0")), old).allowed


def test_an_object_that_was_wrong_before_may_be_changed_elsewhere() -> None:
    old = model_object(uri="ftp://bucket/x")
    assert ask(cache_of(host_object()), model_object(uri="ftp://bucket/x", memory="512Mi"), old).allowed
    assert not ask(cache_of(host_object()), model_object(uri="ftp://bucket/x", memory="0"), old).allowed


def test_an_old_object_of_another_shape_does_not_stop_its_correction() -> None:
    old = model_object() | {"spec": {"model": 7}}
    assert ask(cache_of(host_object()), model_object(), old).allowed


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_folder_of_models_applied_at_once_is_let_in_as_far_as_it_fits(count: int) -> None:
    cache = cache_of(host_object(memory=f"{count}Gi"))
    answers = [ask(cache, model_object(f"m{index}")).allowed for index in range(50)]
    assert answers == [True] * count + [False] * (50 - count)


def test_the_same_model_asked_for_twice_is_counted_once() -> None:
    cache = cache_of(host_object(memory="1Gi"))
    assert ask(cache, FIRST).allowed
    assert ask(cache, FIRST).allowed


def test_a_dry_run_gets_the_same_answer_and_leaves_no_trace() -> None:
    cache = cache_of(host_object(memory="1Gi"))
    assert ask(cache, FIRST, dryRun=True).allowed
    assert ask(cache, SECOND).allowed
    assert not ask(cache, THIRD, dryRun=True).allowed


def test_a_reservation_ends_when_the_model_is_seen_or_after_ten_seconds() -> None:
    clock = FakeClock()
    cache = cache_of(host_object(memory="1Gi"), clock=clock)
    assert ask(cache, FIRST).allowed
    changed(cache, waiting(FIRST))
    assert ask(cache, SECOND).allowed
    clock.now += 9.9
    assert not ask(cache, THIRD).allowed
    clock.now += 0.2
    assert ask(cache, THIRD).allowed


def test_a_raise_is_reserved_for_the_difference_alone() -> None:
    cache = cache_of(host_object(memory="4Gi"), FIRST)
    assert ask(cache, model_object("cifar10", memory="3Gi"), FIRST).allowed
    assert "3Gi of 4Gi is used by 1 model (largest: cifar10 3Gi)" in message(
        ask(cache, model_object("x", memory="2Gi"))
    )
    assert ask(cache, model_object("y")).allowed


def test_a_custom_server_takes_any_framework() -> None:
    env = [{"name": "MULTI_MODEL_SERVER", "value": "true"}]
    own = host_object(triton=None, containers=[{"image": "x", "env": env}])
    assert ask(cache_of(own), model_object(framework="sklearn")).allowed


def test_no_answer_is_longer_than_the_api_server_carries() -> None:
    models = [model_object(f"{'m' * 190}{index}", memory=1) for index in range(9)]
    cache = cache_of(host_object(memory="9"), *models)
    assert len(message(ask(cache, model_object(memory="1Gi")))) <= 1024
    long = model_object(framework="A" * 60, memory="x" * 5000, host="B" * 60, uri="f://" + "o" * 2000)
    assert len(message(ask(cache, long | {"metadata": {"name": "C" * 250}}))) <= 1024
    assert all(len(each) <= 256 for each in warnings(ask(cache, model_object(host="h" * 63), namespace="n" * 500)))
