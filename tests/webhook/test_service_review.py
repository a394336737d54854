"""What the webhook says to an InferenceService."""

from __future__ import annotations

import pytest

from manyserve.plan.rules.ignored import IGNORED
from manyserve.webhook.response import WARNING_LIMIT
from tests.support.make import Manifest, host_object, model_object, server_path
from tests.webhook.reviews import ask, cache_of, message, waiting, warnings

pytestmark = pytest.mark.usefixtures("both_forms")
MODEL = model_object()
OWN = {"image": "x", "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]}


def test_a_host_is_let_in() -> None:
    outcome = ask(cache_of(), host_object())
    assert outcome.allowed
    assert warnings(outcome) == []


def test_a_host_that_cannot_be_honoured_is_refused() -> None:
    outcome = ask(cache_of(), host_object(timeout=3))
    assert message(outcome) == "spec.predictor.timeout: timeout is not supported yet"


def test_a_host_may_not_shrink_below_what_is_placed_on_it() -> None:
    outcome = ask(cache_of(host_object(), MODEL), host_object(memory="512Mi"), host_object())
    assert message(outcome) == (
        "spec.predictor: triton-mms cannot go down to 512Mi of memory: 1Gi is used by 1 model "
        "(largest: cifar10 1Gi); delete or move models first"
    )


def test_a_host_may_shrink_to_what_is_placed_on_it_and_not_for_those_that_wait() -> None:
    cache = cache_of(host_object(), MODEL, waiting(model_object("second")))
    assert ask(cache, host_object(memory="1Gi"), host_object()).allowed


def test_a_host_that_is_over_its_limit_may_be_raised_in_steps() -> None:
    small = host_object(memory="256Mi")
    assert ask(cache_of(small, MODEL), host_object(memory="512Mi"), small).allowed


def test_memory_reserved_a_moment_ago_counts_for_a_shrink() -> None:
    cache = cache_of(host_object())
    assert ask(cache, MODEL).allowed
    assert not ask(cache, host_object(memory="512Mi"), host_object()).allowed


def test_a_host_without_models_may_become_anything() -> None:
    assert ask(cache_of(host_object()), host_object(triton=None, containers=[OWN]), host_object()).allowed


def test_a_custom_server_may_take_over_since_it_takes_any_framework() -> None:
    assert ask(cache_of(host_object(), MODEL), host_object(triton=None, containers=[OWN]), host_object()).allowed


def test_a_server_that_does_not_know_the_models_frameworks_may_not_take_over() -> None:
    own = host_object(triton=None, containers=[OWN])
    placed = model_object(framework="sklearn")
    assert message(ask(cache_of(own, placed), host_object(), own)) == (
        "spec.predictor: triton-mms runs triton, which does not support framework sklearn; "
        "it supports: tensorrt, tensorflow, onnx, pytorch, caffe2; delete or move its models first"
    )


def test_a_host_with_a_framework_that_was_dropped_from_the_configuration_stays_editable() -> None:
    cache = cache_of(host_object(), model_object(framework="sklearn"))
    assert ask(cache, host_object(minReplicas=2), host_object()).allowed


def test_a_host_stays_editable_while_multi_model_serving_is_off() -> None:
    assert ask(cache_of(host_object(), MODEL, multi_model=False), host_object(minReplicas=2), host_object()).allowed


def test_a_request_without_a_limit_is_named_as_the_limit() -> None:
    raw = host_object()
    next(iter(raw["spec"]["predictor"].values()))["resources"] = {"requests": {"memory": "4Gi"}}
    outcome = ask(cache_of(), raw)
    assert outcome.allowed
    assert warnings(outcome) == ["limits.memory is not set, so requests.memory (4Gi) is the limit for the models' sum"]


def test_a_host_that_was_wrong_before_may_be_changed_elsewhere() -> None:
    old = host_object(timeout=3)
    assert ask(cache_of(), host_object(timeout=3, minReplicas=2), old).allowed
    assert not ask(cache_of(), host_object(timeout=3, minReplicas=2, logger={}), old).allowed


def test_a_host_stored_in_another_shape_may_be_corrected() -> None:
    assert ask(cache_of(), host_object(), host_object() | {"spec": {"predictor": 7}}).allowed


def test_an_unknown_field_is_refused_with_its_name_and_an_update_that_does_not_touch_it_passes() -> None:
    old = host_object(foo=1)
    sentence = "spec.predictor.foo: is not a field that manyserve knows"
    assert message(ask(cache_of(), old)).startswith(sentence)
    assert message(ask(cache_of(), old, host_object())).startswith(sentence)
    assert ask(cache_of(), host_object(foo=1, minReplicas=2), old).allowed
    assert message(ask(cache_of(), host_object(foo=2), old)).startswith(sentence)


def test_a_field_that_is_not_supported_may_stay_and_not_change() -> None:
    old = host_object(logger={"mode": "all"})
    assert ask(cache_of(), host_object(logger={"mode": "all"}, minReplicas=2), old).allowed
    said = message(ask(cache_of(), host_object(logger={"mode": "request"}), old))
    assert said == "spec.predictor.logger: logger is not supported yet"
    assert ask(cache_of(), host_object(), old).allowed


IGNORED_BY_HOSTS: dict[str, tuple[Manifest, str]] = {
    "name": ({"triton": {"name": "mine"}}, "SERVER.name has no effect: the server's container is always called"),
    "tag": ({"triton": {"image": "x:1", "runtimeVersion": "2"}}, "SERVER.runtimeVersion has no effect: image is given"),
    "port": ({"triton": {"ports": [{"containerPort": 80, "name": "h2c"}]}}, "SERVER.ports[0] has no effect: only"),
    "target": ({"scaleTarget": 50}, "spec.predictor.scaleTarget, scaleMetric has no effect: there is no autoscaler"),
}


@pytest.mark.parametrize(("fields", "warning"), IGNORED_BY_HOSTS.values(), ids=IGNORED_BY_HOSTS)
def test_a_field_without_effect_is_warned_of(fields: Manifest, warning: str) -> None:
    outcome = ask(cache_of(), host_object(**fields))
    assert outcome.allowed
    (said,) = warnings(outcome)
    assert said.startswith(warning.replace("SERVER", server_path()))


def test_fields_of_kserve_without_effect_are_warned_of() -> None:
    model = {"modelFormat": {"name": "triton", "version": "2"}, "runtime": "kserve-tritonserver", "name": ""}
    outcome = ask(cache_of(), host_object(triton=None, model=model))
    assert [each.partition(" has no effect")[0] for each in warnings(outcome)] == [
        "spec.predictor.model.runtime",
        "spec.predictor.model.modelFormat.version",
    ]
    assert all(len(each) < WARNING_LIMIT for each in warnings(outcome))


def test_every_field_without_effect_has_a_warning_here() -> None:
    assert len(IGNORED) == len(IGNORED_BY_HOSTS) + 2


def test_a_host_may_change_its_form_under_its_models() -> None:
    stored = host_object(triton=None, model={"modelFormat": {"name": "triton"}})
    assert ask(cache_of(host_object(), MODEL), stored, host_object()).allowed
    other = host_object(triton=None, model={"modelFormat": {"name": "sklearn"}})
    assert "multi-model serving is off for sklearn.v1" in message(
        ask(cache_of(host_object(), MODEL), other, host_object())
    )
