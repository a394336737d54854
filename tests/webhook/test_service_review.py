"""What the webhook says to an InferenceService."""

from __future__ import annotations

from tests.support.make import host_object, model_object
from tests.webhook.make import ask, cache_of, message, waiting, warnings

HOST = host_object()
MODEL = model_object()
OWN = {"image": "x", "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]}


def test_a_host_is_let_in() -> None:
    outcome = ask(cache_of(), HOST)
    assert outcome.allowed
    assert warnings(outcome) == []


def test_a_host_that_cannot_be_honoured_is_refused() -> None:
    outcome = ask(cache_of(), host_object(timeout=3))
    assert message(outcome) == "spec.predictor.timeout: timeout is not supported yet"


def test_a_host_may_not_shrink_below_what_is_placed_on_it() -> None:
    outcome = ask(cache_of(HOST, MODEL), host_object(memory="512Mi"), HOST)
    assert message(outcome) == (
        "spec.predictor: triton-mms cannot go down to 512Mi of memory: 1Gi are taken by 1 model "
        "(largest: cifar10 1Gi); delete or move models first"
    )


def test_a_host_may_shrink_to_what_is_placed_on_it_and_not_for_those_that_wait() -> None:
    cache = cache_of(HOST, MODEL, waiting(model_object("second")))
    assert ask(cache, host_object(memory="1Gi"), HOST).allowed


def test_a_host_that_is_over_its_limit_may_be_raised_in_steps() -> None:
    small = host_object(memory="256Mi")
    assert ask(cache_of(small, MODEL), host_object(memory="512Mi"), small).allowed


def test_memory_reserved_a_moment_ago_counts_for_a_shrink() -> None:
    cache = cache_of(HOST)
    assert ask(cache, MODEL).allowed
    assert not ask(cache, host_object(memory="512Mi"), HOST).allowed


def test_a_host_without_models_may_become_anything() -> None:
    assert ask(cache_of(HOST), host_object(triton=None, containers=[OWN]), HOST).allowed


def test_a_custom_server_may_take_over_since_it_takes_any_framework() -> None:
    assert ask(cache_of(HOST, MODEL), host_object(triton=None, containers=[OWN]), HOST).allowed


def test_a_server_that_does_not_know_the_models_frameworks_may_not_take_over() -> None:
    own = host_object(triton=None, containers=[OWN])
    placed = model_object(framework="sklearn")
    assert message(ask(cache_of(own, placed), HOST, own)) == (
        "spec.predictor: triton-mms runs triton, which does not support framework sklearn; "
        "it supports: tensorrt, tensorflow, onnx, pytorch, caffe2; delete or move its models first"
    )


def test_a_host_with_a_framework_that_was_dropped_from_the_configuration_stays_editable() -> None:
    cache = cache_of(HOST, model_object(framework="sklearn"))
    assert ask(cache, host_object(minReplicas=2), HOST).allowed


def test_a_host_stays_editable_while_multi_model_serving_is_off() -> None:
    assert ask(cache_of(HOST, MODEL, multi_model=False), host_object(minReplicas=2), HOST).allowed


def test_a_request_without_a_limit_is_named_as_the_limit() -> None:
    raw = host_object()
    raw["spec"]["predictor"]["triton"]["resources"] = {"requests": {"memory": "4Gi"}}
    outcome = ask(cache_of(), raw)
    assert outcome.allowed
    assert warnings(outcome) == ["limits.memory is not set, so requests.memory (4Gi) is the limit for the models' sum"]


def test_a_host_that_was_wrong_before_may_be_changed_elsewhere() -> None:
    old = host_object(timeout=3)
    assert ask(cache_of(), host_object(timeout=3, minReplicas=2), old).allowed
    assert not ask(cache_of(), host_object(timeout=3, minReplicas=2, logger={}), old).allowed


def test_a_host_stored_in_another_shape_may_be_corrected() -> None:
    assert ask(cache_of(), HOST, HOST | {"spec": {"predictor": 7}}).allowed
