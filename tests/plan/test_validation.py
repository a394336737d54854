"""What one object alone may say: each rule with its sentence, and the same sentences as the CRDs' CEL."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import crd
from manyserve.api.names import KSERVE_GROUP
from manyserve.plan.validation import model_problems, parse_model, parse_service, service_problems
from tests.support.make import Manifest, host_object, model_object

EXAMPLE = "it must be a quantity greater than 0 in whole bytes, such as 512Mi or 1Gi"


def model_with(path: str, value: Any) -> Manifest:
    return _with(model_object(), path, value)


def host_with(path: str, value: Any) -> Manifest:
    return _with(host_object(), path, value)


def _with(found: Manifest, path: str, value: Any) -> Manifest:
    node = found
    *parents, last = path.split(".")
    for each in parents:
        node = node.setdefault(each, {})
    node[last] = value
    return found


def sentences(problems: list[Any]) -> list[str]:
    return [str(each) for each in problems]


def test_the_objects_of_the_walkthrough_are_fine() -> None:
    assert model_problems(model_object()) == []
    assert service_problems(host_object()) == []


def test_parsed_objects_are_judged_like_raw_ones() -> None:
    assert model_problems(parse_model(model_with("spec.model.memory", "0"))) != []
    assert service_problems(parse_service(host_with("spec.predictor.timeout", 3))) != []


@pytest.mark.parametrize(
    ("memory", "why"),
    [
        ("0", "'0' is not greater than 0"),
        ("-1Gi", "'-1Gi' is not greater than 0"),
        ("abc", "'abc' is not a quantity"),
        ("1gi", "'1gi' is not a quantity"),
        (" 1Gi", "' 1Gi' is not a quantity"),
        ("", "'' is not a quantity"),
        ("NaN", "'NaN' is not a quantity"),
        ("1.5", "'1.5' is not a whole number of bytes"),
        ("0.1m", "'0.1m' is not a whole number of bytes"),
        ("9999999999Ei", "'9999999999Ei' is more than any machine has"),
        ("1e999", "'1e999' is more than any machine has"),
        (0, "'0' is not greater than 0"),
        (True, "true is not a quantity"),
        (1.5, "1.5 is not a quantity"),
        (None, "null is not a quantity"),
        ([1], "a list is not a quantity"),
    ],
)
def test_memory_that_cannot_be_summed_is_refused_with_what_is_allowed(memory: Any, why: str) -> None:
    found = sentences(model_problems(model_with("spec.model.memory", memory)))
    assert found == [f"spec.model.memory: {why}; {EXAMPLE}"]


@pytest.mark.parametrize("memory", ["1Gi", "1.5Gi", "1e3", "1E", "1500M", 1, 4096])
def test_memory_in_whole_bytes_is_fine(memory: Any) -> None:
    assert model_problems(model_with("spec.model.memory", memory)) == []


@pytest.mark.parametrize("framework", ["", "PyTorch", "a b", "$(x)", "a/b", "x" * 1_000_000])
def test_a_framework_is_one_word(framework: str) -> None:
    (problem,) = model_problems(model_with("spec.model.framework", framework))
    assert problem.path == "spec.model.framework"
    assert len(problem.message) < 250


@pytest.mark.parametrize("name", ["ns/other", "A", "x_y", "1a", "", "a" * 64])
def test_a_host_is_named_in_the_same_namespace(name: str) -> None:
    (problem,) = model_problems(model_with("spec.inferenceService", name))
    assert problem.path == "spec.inferenceService"


@pytest.mark.parametrize("name", ["Cifar", "a.b", "a" * 201, "emoji😀"])
def test_a_model_name_can_stand_in_a_url(name: str) -> None:
    (problem,) = model_problems(model_with("metadata.name", name))
    assert "letters, digits and - only, at most 128" in problem.message


def test_a_host_name_leaves_room_for_its_children() -> None:
    assert service_problems(host_with("metadata.name", "a" * 45)) == []
    (problem,) = service_problems(host_with("metadata.name", "a" * 46))
    assert problem.message.endswith("of at most 45 characters, so that the names of its children fit into 63")


def test_exactly_one_predictor_is_given() -> None:
    none = service_problems({"metadata": {"name": "h"}, "spec": {"predictor": {}}})
    assert none[0].message.startswith("none is given; exactly one predictor must be given, one of: triton")
    two = service_problems(host_with("spec.predictor.sklearn", {}))
    assert sentences(two)[0].startswith("spec.predictor: 2 are given: triton, sklearn; exactly one")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("spec.transformer", {}, "spec.transformer is not supported yet"),
        ("spec.predictor.canaryTrafficPercent", 10, "canaryTrafficPercent is not supported yet"),
        ("spec.predictor.containerConcurrency", 1, "containerConcurrency is not supported yet"),
        ("spec.predictor.batcher", {}, "batcher is not supported yet"),
    ],
)
def test_what_is_not_done_yet_is_refused_and_never_ignored(path: str, value: Any, sentence: str) -> None:
    assert sentences(service_problems(host_with(path, value))) == [f"{path}: {sentence}"]


def test_the_most_replicas_are_not_fewer_than_the_fewest() -> None:
    found = service_problems(host_object(minReplicas=3, maxReplicas=2))
    assert sentences(found) == [
        "spec.predictor.maxReplicas: maxReplicas is 2, minReplicas 3; "
        "maxReplicas must not be below minReplicas (which is 1 when unset)"
    ]


def test_a_server_of_ones_own_names_its_image_and_takes_several_models() -> None:
    bare = host_object(triton=None, containers=[{"name": "x"}])
    assert [each.path for each in service_problems(bare)] == [
        "spec.predictor.containers[0].image",
        "spec.predictor.containers[0].env",
    ]
    env = [{"name": "MULTI_MODEL_SERVER", "value": "true"}]
    assert service_problems(host_object(triton=None, containers=[{"image": "x", "env": env}])) == []


@pytest.mark.parametrize(
    ("part", "name", "value", "why"),
    [
        ("limits", "memory", "0", "'0' is not greater than 0"),
        ("limits", "memory", "2gi", "'2gi' is not a quantity; it must be a quantity, such as 500m, 1 or 2Gi"),
        ("limits", "cpu", "-1", "'-1' is not a quantity; it must be a quantity, such as 500m, 1 or 2Gi"),
        ("requests", "memory", "4Gi", "'4Gi' is more than the limit; it must be at most '2Gi'"),
        ("requests", "cpu", "1001m", "'1001m' is more than the limit; it must be at most '1'"),
    ],
)
def test_resources_that_no_pod_could_have_are_refused(part: str, name: str, value: str, why: str) -> None:
    raw = host_object()
    resources = raw["spec"]["predictor"]["triton"]["resources"] = {
        "limits": {"cpu": "1", "memory": "2Gi"},
        "requests": {"cpu": "1m", "memory": "1Mi"},
    }
    resources[part][name] = value
    if part == "limits":
        del resources["requests"]
    (problem,) = service_problems(raw)
    assert str(problem).startswith(f"spec.predictor.triton.resources.{part}.{name}: {why}")


@pytest.mark.parametrize("port", [0, 65536, "http", None, True, 9081, 9000, 8002])
def test_a_port_that_cannot_answer_http_is_refused(port: Any) -> None:
    (problem,) = service_problems(host_with("spec.predictor.triton.ports", [{"containerPort": port}]))
    assert problem.path == "spec.predictor.triton.ports[0].containerPort"


def test_a_second_port_is_refused_since_it_would_be_ignored() -> None:
    ports = [{"containerPort": 8080}, {"containerPort": 8081}]
    (problem,) = service_problems(host_with("spec.predictor.triton.ports", ports))
    assert "one at most" in problem.message


@pytest.mark.parametrize("args", [["--model-control-mode=none"], ["--grpc-port", "1"], ["--http-port=80"]])
def test_arguments_that_would_break_the_server_are_refused(args: list[str]) -> None:
    (problem,) = service_problems(host_with("spec.predictor.triton.args", args))
    assert problem.path == "spec.predictor.triton.args[0]"
    assert "it must be left out" in problem.message


def test_arguments_that_say_what_we_say_are_fine() -> None:
    args = ["--log-verbose=1", "--model-control-mode=explicit", "--grpc-port", "9000"]
    assert service_problems(host_with("spec.predictor.triton.args", args)) == []


def test_values_of_environment_variables_are_never_echoed() -> None:
    env = [{"name": "TOKEN", "value": ["secret"]}, {"name": "x" * 300, "value": "secret" * 10_000}]
    found = sentences(service_problems(host_with("spec.predictor.triton.env", env)))
    assert len(found) == 3
    assert all("secret" not in each for each in found)


BAD_URIS = (
    "b",
    "gs://b c",
    "gs://",
    "s3://",
    "https://",
    "http://",
    "az://",
    "abfss://",
    "pvc://",
    "hf://",
)
MODEL_CASES = {
    "spec.model.framework": "A",
    "spec.model.digest": "A",
    "spec.model.refreshInterval": "1s",
    "spec.model.memory": "0",
    "spec.inferenceService": "A",
    "metadata.name": "A",
}
HOST_CASES: dict[str, Any] = {
    "metadata.name": "A",
    "spec.transformer": {},
    "spec.explainer": {},
    "spec.predictor.maxReplicas": 1,
    "spec.predictor.minReplicas": 2,
    "spec.predictor.triton.storageUri": "gs://b/x",
    "spec.predictor.triton.resources.limits.cpu": "x",
    "spec.predictor.triton.resources.limits.memory": "0",
    **{f"spec.predictor.{name}": {} for name in ("sklearn", "xgboost", "lightgbm", "tensorflow", "pytorch", "onnx")},
    **{f"spec.predictor.{name}": {} for name in ("pmml", "paddle", "batcher", "logger")},
    **{f"spec.predictor.{name}": 1 for name in ("canaryTrafficPercent", "containerConcurrency", "timeout")},
}


def cel_messages(node: Any) -> set[str]:
    """Return the sentence of every CEL rule of a schema, but for those of the status."""
    if isinstance(node, list):
        return set().union(*map(cel_messages, node))
    if not isinstance(node, dict):
        return set()
    own = {rule["message"] for rule in node.get("x-kubernetes-validations", [])}
    return own.union(*(cel_messages(each) for key, each in node.items() if key != "status"))


def test_every_cel_rule_of_the_models_has_its_sentence_here_too() -> None:
    raw = model_object()
    for path, value in MODEL_CASES.items():
        _with(raw, path, value)
    bad = [problem for uri in BAD_URIS for problem in model_problems(model_with("spec.model.storageUri", uri))]
    found = "\n".join(sentences([*model_problems(raw), *bad]))
    assert [each for each in cel_messages(crd.trained_models(KSERVE_GROUP)) if each not in found] == []


def test_every_cel_rule_of_the_hosts_has_its_sentence_here_too() -> None:
    raw = host_object()
    for path, value in HOST_CASES.items():
        _with(raw, path, value)
    found = "\n".join(sentences(service_problems(raw)))
    assert [each for each in cel_messages(crd.inference_services(KSERVE_GROUP)) if each not in found] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SPEC_KEYS = st.sampled_from(["inferenceService", "model", "predictor", "framework", "memory", "storageUri", "triton"])


@given(st.dictionaries(st.sampled_from(["metadata", "spec"]), JSON | st.dictionaries(SPEC_KEYS, JSON)))
def test_nothing_makes_the_rules_raise(raw: dict[str, Any]) -> None:
    for problem in model_problems(raw) + service_problems(raw):
        assert str(problem).isprintable()


@given(st.text(), st.text(), st.text(), st.text() | st.integers())
def test_no_text_makes_the_rules_of_a_model_raise(name: str, framework: str, uri: str, memory: str | int) -> None:
    raw = model_object(name, framework=framework, uri=uri, memory=memory)
    for problem in model_problems(raw):
        assert str(problem).isprintable()
        assert len(str(problem)) < 500
