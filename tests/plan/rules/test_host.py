"""Rules for hosts in both forms: name, predictor, replicas, unknown and unsupported fields, bounds."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.unsupported import UNSUPPORTED, Unsupported
from manyserve.plan.rules.validation import host_problems, parse_host
from tests.plan.rules.paths import host_with, resolved_path, sentences
from tests.support.make import host_object, labelled, server_path

both_forms = pytest.mark.usefixtures("both_forms")


@both_forms
def test_host_rules_limit_name_for_children() -> None:
    assert host_problems(host_with("metadata.name", "a" * 45)) == []
    (problem,) = host_problems(host_with("metadata.name", "a" * 46))
    assert problem.message.endswith("of at most 45 characters, so that the names of its children fit into 63")


@both_forms
def test_host_rules_require_exactly_one_predictor() -> None:
    none = host_problems({"metadata": {"name": "h"}, "spec": {"predictor": {}}})
    assert none[0].message.startswith("none is given; exactly one predictor must be given, one of: triton")
    first = server_path().rpartition(".")[2]
    for second in ("sklearn", "tensorflow", "huggingface"):
        two = host_problems(host_with(f"spec.predictor.{second}", {}))
        given = sorted((first, second), key=("triton", "sklearn", "model", "tensorflow", "huggingface").index)
        assert sentences(two)[0].startswith(f"spec.predictor: 2 are given: {', '.join(given)}; exactly one")


@both_forms
@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("spec.transformer", {}, "spec.transformer is not supported yet"),
        ("spec.predictor.canaryTrafficPercent", 10, "canaryTrafficPercent is not supported yet"),
        ("spec.predictor.containerConcurrency", 1, "containerConcurrency is not supported yet"),
        ("spec.predictor.batcher", {}, "batcher is not supported yet"),
    ],
)
def test_host_rules_refuse_unsupported_field(path: str, value: Any, sentence: str) -> None:
    assert sentences(host_problems(host_with(path, value))) == [f"{path}: {sentence}"]


@both_forms
def test_host_rules_refuse_max_replicas_below_min_replicas() -> None:
    assert sentences(host_problems(host_object(minReplicas=3, maxReplicas=2))) == [
        "spec.predictor.maxReplicas: maxReplicas is 2, minReplicas 3; "
        "maxReplicas must not be below minReplicas (which is 1 when unset)"
    ]


NUMBER = "is not allowed; it must be from"
TEXT = "a text of"
FORMER_BOUNDS: dict[str, tuple[str, Any, str]] = {
    "fewest replicas": ("spec.predictor.minReplicas", 0, f"0 {NUMBER} 1 to 1000"),
    "most replicas": ("spec.predictor.maxReplicas", 1001, f"1001 {NUMBER} 1 to 1000"),
    "target": ("spec.predictor.scaleTarget", 0, f"0 {NUMBER} 1 to 100000"),
    "metric": (
        "spec.predictor.scaleMetric",
        "qps",
        "'qps' is not supported; it must be cpu, memory, concurrency or rps",
    ),
    "grace": ("spec.predictor.terminationGracePeriodSeconds", -1, f"-1 {NUMBER} 0 to 86400"),
    "protocol": ("spec.predictor.SERVER.protocolVersion", "v1", "'v1' is not supported; it must be v2"),
    "grpc": ("spec.predictor.SERVER.protocolVersion", "grpc-v2", "'grpc-v2' is not supported; it must be v2"),
    "image": (
        "spec.predictor.SERVER.image",
        "i" * 1025,
        f"{TEXT} 1025 characters is not allowed; it must have at most",
    ),
    "tag": ("spec.predictor.SERVER.runtimeVersion", "t" * 129, f"{TEXT} 129 characters is not allowed"),
    "argument": ("spec.predictor.SERVER.args", ["--" + "a" * 4095], f"{TEXT} 4097 characters is not allowed"),
    "arguments": ("spec.predictor.SERVER.args", ["--id=a"] * 257, "a list of 257 items is not allowed"),
    "account": ("spec.predictor.serviceAccountName", "a" * 254, f"{TEXT} 254 characters is not allowed"),
    "volumes": (
        "spec.predictor.volumes",
        [{"name": f"v{each}", "emptyDir": {}} for each in range(129)],
        "a list of 129 items is not allowed; it must have at most 128 items",
    ),
    "limits": (
        "spec.predictor.SERVER.resources.limits",
        {f"example.com/{each}": 1 for each in range(65)},
        "a list of 65 items is not allowed; it must have at most 64 items",
    ),
    "token": ("spec.predictor.automountServiceAccountToken", True, "true is not supported; it must be false"),
}


@both_forms
@pytest.mark.parametrize(("path", "value", "sentence"), FORMER_BOUNDS.values(), ids=FORMER_BOUNDS)
def test_host_rules_refuse_value_out_of_bounds_that_the_crd_accepts(path: str, value: Any, sentence: str) -> None:
    raw = host_with(path, value)
    assert parse_host(raw).metadata.name, "it parses"
    problems = [each for each in host_problems(raw) if each.path.startswith(resolved_path(path))]
    assert [each.message.startswith(sentence) for each in problems] == [True], problems


@both_forms
@pytest.mark.parametrize(
    "path",
    [
        "spec.foo",
        "spec.predictor.foo",
        "spec.predictor.SERVER.foo",
        "spec.predictor.SERVER.resources.limit",
        "spec.predictor.SERVER.storageURI",
    ],
)
def test_host_rules_refuse_unknown_field(path: str) -> None:
    (problem,) = host_problems(host_with(path, {"a": 1}))
    assert problem.path == resolved_path(path)
    assert problem.message == (
        "is not a field that manyserve knows; it must be left out, or be one that kubectl explain lists"
    )


@both_forms
def test_host_rules_refuse_unknown_field_in_list_but_not_in_opaque_part() -> None:
    env = [{"name": "A", "value": "b"}, {"name": "B", "val": "b"}]
    (problem,) = host_problems(host_with("spec.predictor.SERVER.env", env))
    assert problem.path == resolved_path("spec.predictor.SERVER.env[1].val")
    assert host_problems(host_with("spec.predictor.volumes", [{"name": "a", "future": {}}])) == []


@both_forms
@pytest.mark.parametrize("field", UNSUPPORTED, ids=lambda field: f"{field.level}.{field.name}")
def test_host_rules_name_each_unsupported_field_of_kserve(field: Unsupported) -> None:
    parent = {"spec": "spec", "predictor": "spec.predictor", "server": "spec.predictor.SERVER"}[field.level]
    problems = sentences(host_problems(host_with(f"{parent}.{field.name}", {})))
    name = f"spec.{field.name}" if field.level == "spec" else field.name
    assert f"{resolved_path(parent)}.{field.name}: {name} {field.sentence}" in problems


@both_forms
@pytest.mark.parametrize("name", ["volumeMounts", "env", "image", "livenessProbe"])
def test_host_rules_name_the_place_of_container_field_in_pod(name: str) -> None:
    (problem,) = host_problems(host_with(f"spec.predictor.{name}", []))
    place = resolved_path(f"spec.predictor.SERVER.{name}")
    assert str(problem) == f"spec.predictor.{name}: is a field of the container; it must be {place}"


@both_forms
@pytest.mark.parametrize("name", ["nodeSelector", "tolerations", "initContainers", "volumes"])
def test_host_rules_name_the_place_of_pod_field_in_container(name: str) -> None:
    (problem,) = host_problems(host_with(f"spec.predictor.SERVER.{name}", []))
    assert problem.path == resolved_path(f"spec.predictor.SERVER.{name}")
    assert problem.message == f"is a field of the pod; it must be spec.predictor.{name}"


@both_forms
@pytest.mark.parametrize("name", ["hpa", "external", "none"])
def test_host_rules_accept_the_known_autoscaler_classes(name: str) -> None:
    assert host_problems(labelled({}, {"serving.kserve.io/autoscalerClass": name})) == []


@both_forms
def test_autoscaler_class_of_the_predictor_overrides_that_of_the_host() -> None:
    name = "serving.kserve.io/autoscalerClass"
    own = labelled({}, {name: "hpa"}, annotations={name: "external"})
    assert host_problems(own) == []
    assert parse_host(own).autoscaler_class == "external"
    (problem,) = sentences(host_problems(labelled({}, {}, annotations={name: "keda"})))
    assert problem.startswith(f"spec.predictor.annotations[{name}]: 'keda' is not supported")


@both_forms
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("128Mi", None),
        ("", None),
        ("64Mi", "64Mi is too small; it must be at least 128Mi"),
        ("much", "'much' is not a quantity; it must be a quantity greater than 0 in whole bytes, such as 512Mi or 1Gi"),
        (
            "-1Gi",
            "'-1Gi' is not greater than 0; it must be a quantity greater than 0 in whole bytes, such as 512Mi or 1Gi",
        ),
    ],
)
def test_host_rules_judge_the_limit_of_the_volume_with_models(value: str, sentence: str | None) -> None:
    name = "serving.kserve.io/models-volume-size-limit"
    of_host, of_predictor = labelled({}, {name: value}), labelled({}, {}, annotations={name: value})
    for path, raw in (("metadata.annotations", of_host), ("spec.predictor.annotations", of_predictor)):
        assert sentences(host_problems(raw)) == ([f"{path}[{name}]: {sentence}"] if sentence else [])


def test_host_rules_refuse_an_unknown_autoscaler_class() -> None:
    assert sentences(host_problems(labelled({}, {"serving.kserve.io/autoscalerClass": "keda"}))) == [
        "metadata.annotations[serving.kserve.io/autoscalerClass]: 'keda' is not supported; it must be hpa (the "
        "default), external for an autoscaler of your own such as KEDA's, or none"
    ]
