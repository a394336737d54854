"""Reviews of InferenceServices."""

from __future__ import annotations

import pytest

from manyserve.plan.rules.ignored import IGNORED
from manyserve.webhook.admission import WARNING_LIMIT
from tests.support.make import Manifest, host_object, labelled, model_object, server_path
from tests.webhook.reviews import ask, cache_of, message, waiting, warnings

pytestmark = pytest.mark.usefixtures("both_forms")
MODEL = model_object()
OWN = {"image": "x", "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]}


def test_host_review_allows_host_without_warning() -> None:
    outcome = ask(cache_of(), host_object())
    assert outcome.allowed
    assert warnings(outcome) == []


def test_host_review_refuses_unsupported_field() -> None:
    outcome = ask(cache_of(), host_object(timeout=3))
    assert message(outcome) == "spec.predictor.timeout: timeout is not supported yet"


def test_host_review_refuses_limit_below_memory_of_placed_models() -> None:
    outcome = ask(cache_of(host_object(), MODEL), host_object(memory="512Mi"), host_object())
    assert message(outcome) == (
        "spec.predictor: triton-mms cannot go down to 512Mi of memory: 1Gi is used by 1 model "
        "(largest: cifar10 1Gi); delete or move models first"
    )


def test_host_review_allows_limit_of_placed_models_despite_waiting_ones() -> None:
    cache = cache_of(host_object(), MODEL, waiting(model_object("second")))
    assert ask(cache, host_object(memory="1Gi"), host_object()).allowed


def test_host_review_allows_raise_of_host_over_its_limit() -> None:
    small = host_object(memory="256Mi")
    assert ask(cache_of(small, MODEL), host_object(memory="512Mi"), small).allowed


def test_host_review_counts_reserved_memory() -> None:
    cache = cache_of(host_object())
    assert ask(cache, MODEL).allowed
    assert not ask(cache, host_object(memory="512Mi"), host_object()).allowed


def test_host_review_allows_any_server_without_models() -> None:
    assert ask(cache_of(host_object()), host_object(triton=None, containers=[OWN]), host_object()).allowed


def test_host_review_allows_change_to_custom_server() -> None:
    assert ask(cache_of(host_object(), MODEL), host_object(triton=None, containers=[OWN]), host_object()).allowed


def test_host_review_refuses_server_without_frameworks_of_models() -> None:
    own = host_object(triton=None, containers=[OWN])
    placed = model_object(framework="sklearn")
    assert message(ask(cache_of(own, placed), host_object(), own)) == (
        "spec.predictor: triton-mms runs triton, which does not support framework sklearn; "
        "it supports: tensorrt, tensorflow, onnx, pytorch, caffe2; delete or move its models first"
    )


def test_host_review_allows_update_after_framework_left_configuration() -> None:
    cache = cache_of(host_object(), model_object(framework="sklearn"))
    assert ask(cache, host_object(minReplicas=2), host_object()).allowed


def test_host_review_allows_update_while_multi_model_serving_is_off() -> None:
    assert ask(cache_of(host_object(), MODEL, multi_model=False), host_object(minReplicas=2), host_object()).allowed


def test_host_review_warns_about_request_without_limit() -> None:
    raw = host_object()
    next(iter(raw["spec"]["predictor"].values()))["resources"] = {"requests": {"memory": "4Gi"}}
    outcome = ask(cache_of(), raw)
    assert outcome.allowed
    assert warnings(outcome) == ["limits.memory is not set, so requests.memory (4Gi) is the limit for the models' sum"]


def test_host_review_ratchets_old_violations() -> None:
    old = host_object(timeout=3)
    assert ask(cache_of(), host_object(timeout=3, minReplicas=2), old).allowed
    assert not ask(cache_of(), host_object(timeout=3, minReplicas=2, logger={}), old).allowed


def test_host_review_allows_correction_of_unreadable_host() -> None:
    assert ask(cache_of(), host_object(), host_object() | {"spec": {"predictor": 7}}).allowed


def test_host_review_ratchets_unknown_field() -> None:
    old = host_object(foo=1)
    sentence = "spec.predictor.foo: is not a field that manyserve knows"
    assert message(ask(cache_of(), old)).startswith(sentence)
    assert message(ask(cache_of(), old, host_object())).startswith(sentence)
    assert ask(cache_of(), host_object(foo=1, minReplicas=2), old).allowed
    assert message(ask(cache_of(), host_object(foo=2), old)).startswith(sentence)


def test_host_review_ratchets_unsupported_field() -> None:
    old = host_object(logger={"mode": "all"})
    assert ask(cache_of(), host_object(logger={"mode": "all"}, minReplicas=2), old).allowed
    refusal = message(ask(cache_of(), host_object(logger={"mode": "request"}), old))
    assert refusal == "spec.predictor.logger: logger is not supported yet"
    assert ask(cache_of(), host_object(), old).allowed


CLASS = "serving.kserve.io/autoscalerClass"
IGNORED_BY_HOSTS: dict[str, tuple[Manifest, str]] = {
    "name": ({"triton": {"name": "mine"}}, "SERVER.name has no effect: the server's container is always called"),
    "tag": ({"triton": {"image": "x:1", "runtimeVersion": "2"}}, "SERVER.runtimeVersion has no effect: image is given"),
    "port": ({"triton": {"ports": [{"containerPort": 80, "name": "mine"}]}}, "SERVER.ports has no effect: only"),
    "target": ({"scaleTarget": 50}, "spec.predictor.scaleTarget, scaleMetric has no effect: there is no autoscaler"),
}


@pytest.mark.parametrize(("fields", "warning"), IGNORED_BY_HOSTS.values(), ids=IGNORED_BY_HOSTS)
def test_host_review_warns_about_field_without_effect(fields: Manifest, warning: str) -> None:
    outcome = ask(cache_of(), host_object(**fields))
    assert outcome.allowed
    (text,) = warnings(outcome)
    assert text.startswith(warning.replace("SERVER", server_path()))


def test_host_review_warns_about_argument_that_no_table_knows() -> None:
    outcome = ask(cache_of(), host_object(triton={"args": ["--flag-of-tomorrow"]}))
    assert outcome.allowed
    (text,) = warnings(outcome)
    assert text.startswith(f"{server_path()}.args[0]: '--flag-of-tomorrow' is not a flag that manyserve knows")


def test_host_review_warns_about_kserve_fields_without_effect() -> None:
    model = {"modelFormat": {"name": "triton", "version": "2"}, "runtime": "kserve-tritonserver", "name": ""}
    outcome = ask(cache_of(), host_object(triton=None, model=model))
    assert [each.partition(" has no effect")[0] for each in warnings(outcome)] == [
        "spec.predictor.model.runtime",
        "spec.predictor.model.modelFormat.version",
    ]
    assert all(len(each) < WARNING_LIMIT for each in warnings(outcome))


def test_host_review_warns_about_visibility_as_annotation() -> None:
    outcome = ask(cache_of(), labelled({}, {"networking.knative.dev/visibility": "cluster-local"}))
    (text,) = warnings(outcome)
    assert text.startswith("metadata.annotations[*/visibility] has no effect: the visibility is a label")


@pytest.mark.parametrize(
    ("key", "warning"),
    [
        ("kubernetes.io/ingress.class", "[kubernetes.io/ingress.class] has no effect: the class is that of"),
        ("haproxy-ingress.github.io/config-backend", "[haproxy-ingress.github.io/config-*] has no effect: such text"),
        ("ingress.kubernetes.io/config-backend", "[ingress.kubernetes.io/config-*] has no effect: such text would"),
        ("nginx.ingress.kubernetes.io/server-alias", "[*/server-alias*] has no effect: the host would answer at"),
        ("nginx.ingress.kubernetes.io/server-snippet", "[*/*-snippet*] has no effect: such text would run"),
    ],
)
def test_host_review_warns_about_annotation_that_no_child_gets(key: str, warning: str) -> None:
    for host in (labelled({}, {key: "x"}), host_object(annotations={key: "x"})):
        (text,) = warnings(ask(cache_of(), host))
        assert text.startswith(f"metadata.annotations{warning}")


def test_host_review_cases_cover_all_ignored_fields() -> None:
    assert len(IGNORED) == len(IGNORED_BY_HOSTS) + 10


def test_host_review_refuses_unknown_visibility_in_update_of_labels() -> None:
    new = labelled({"networking.kserve.io/visibility": "internal"})
    assert message(ask(cache_of(), new, host_object())).startswith(
        "metadata.labels[networking.kserve.io/visibility]: 'internal' is not allowed"
    )
    moved = labelled({"networking.kserve.io/visibility": "internal", "team": "risk"})
    assert ask(cache_of(), moved, new).allowed, "rules are ratcheting"


def test_host_review_warns_about_scaling_fields_with_another_owner() -> None:
    (text,) = warnings(ask(cache_of(), labelled({}, {CLASS: "external"}, minReplicas=1, maxReplicas=3)))
    assert text == (
        "spec.predictor.maxReplicas, scaleTarget, scaleMetric has no effect: the annotation autoscalerClass gives the "
        "replicas another owner"
    )
    assert not warnings(ask(cache_of(), labelled({}, {CLASS: "none"}, minReplicas=2)))


def test_host_review_refuses_an_unknown_autoscaler_class_in_an_update_of_annotations() -> None:
    old, new = host_object(), labelled({}, {CLASS: "kpa"})
    assert message(ask(cache_of(), new, old)).startswith(f"metadata.annotations[{CLASS}]: 'kpa' is not supported")
    assert ask(cache_of(), labelled({}, {CLASS: "external"}), old).allowed


def test_host_review_allows_change_of_form_with_models() -> None:
    stored = host_object(triton=None, model={"modelFormat": {"name": "triton"}})
    assert ask(cache_of(host_object(), MODEL), stored, host_object()).allowed
    other = host_object(triton=None, model={"modelFormat": {"name": "sklearn"}})
    assert "multi-model serving is off for sklearn.v1" in message(
        ask(cache_of(host_object(), MODEL), other, host_object())
    )
