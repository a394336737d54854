"""The rules for one object by itself, each with its sentence, for hosts in both forms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.trainedmodel import TrainedModel
from manyserve.api.unsupported import UNSUPPORTED, Unsupported
from manyserve.plan.validation import model_problems, parse_model, parse_service, service_problems
from tests.support.make import Manifest, host_object, model_object, server_path

both_forms = pytest.mark.usefixtures("both_forms")
EXAMPLE = "it must be a quantity greater than 0 in whole bytes, such as 512Mi or 1Gi"


def model_with(path: str, value: Any) -> Manifest:
    return _with(model_object(), path, value)


def host_with(path: str, value: Any) -> Manifest:
    """Return a host with a value at a path, in which SERVER stands for the server's own field."""
    return _with(host_object(), here(path), value)


def here(path: str) -> str:
    return path.replace("spec.predictor.SERVER", server_path())


def _with(found: Manifest, path: str, value: Any) -> Manifest:
    node = found
    *parents, last = path.split(".")
    for each in parents:
        node = node.setdefault(each, {})
    node[last] = value
    return found


def _server(raw: Manifest) -> Manifest:
    found: Manifest = raw["spec"]["predictor"][server_path().rpartition(".")[2]]
    return found


def sentences(problems: list[Any]) -> list[str]:
    return [str(each) for each in problems]


@both_forms
def test_the_objects_of_the_walkthrough_are_fine() -> None:
    assert model_problems(model_object()) == []
    assert service_problems(host_object()) == []


@both_forms
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


@both_forms
def test_a_host_name_leaves_room_for_its_children() -> None:
    assert service_problems(host_with("metadata.name", "a" * 45)) == []
    (problem,) = service_problems(host_with("metadata.name", "a" * 46))
    assert problem.message.endswith("of at most 45 characters, so that the names of its children fit into 63")


@both_forms
def test_exactly_one_predictor_is_given() -> None:
    none = service_problems({"metadata": {"name": "h"}, "spec": {"predictor": {}}})
    assert none[0].message.startswith("none is given; exactly one predictor must be given, one of: triton")
    first = server_path().rpartition(".")[2]
    for second in ("sklearn", "tensorflow", "huggingface"):
        two = service_problems(host_with(f"spec.predictor.{second}", {}))
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
def test_what_is_not_done_yet_is_refused_and_never_ignored(path: str, value: Any, sentence: str) -> None:
    assert sentences(service_problems(host_with(path, value))) == [f"{path}: {sentence}"]


@both_forms
def test_the_most_replicas_are_not_fewer_than_the_fewest() -> None:
    found = service_problems(host_object(minReplicas=3, maxReplicas=2))
    assert sentences(found) == [
        "spec.predictor.maxReplicas: maxReplicas is 2, minReplicas 3; "
        "maxReplicas must not be below minReplicas (which is 1 when unset)"
    ]


@both_forms
def test_a_server_of_ones_own_names_its_image_and_takes_several_models() -> None:
    bare = host_object(triton=None, containers=[{"name": "x"}])
    assert [each.path for each in service_problems(bare)] == [
        "spec.predictor.containers[0].image",
        "spec.predictor.containers[0].env",
    ]
    env = [{"name": "MULTI_MODEL_SERVER", "value": "true"}]
    assert service_problems(host_object(triton=None, containers=[{"image": "x", "env": env}])) == []


@both_forms
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
    resources = _server(raw)["resources"] = {
        "limits": {"cpu": "1", "memory": "2Gi"},
        "requests": {"cpu": "1m", "memory": "1Mi"},
    }
    resources[part][name] = value
    if part == "limits":
        del resources["requests"]
    (problem,) = service_problems(raw)
    assert str(problem).startswith(f"{server_path()}.resources.{part}.{name}: {why}")


@both_forms
@pytest.mark.parametrize("port", [0, 65536, "http", None, True, 9081, 9000, 8002])
def test_a_port_that_cannot_answer_http_is_refused(port: Any) -> None:
    (problem,) = service_problems(host_with("spec.predictor.SERVER.ports", [{"containerPort": port}]))
    assert problem.path == here("spec.predictor.SERVER.ports[0].containerPort")


@both_forms
def test_a_second_port_is_refused_since_it_would_be_ignored() -> None:
    ports = [{"containerPort": 8080}, {"containerPort": 8081}]
    (problem,) = service_problems(host_with("spec.predictor.SERVER.ports", ports))
    assert "one at most" in problem.message


@both_forms
@pytest.mark.parametrize("args", [["--model-control-mode=none"], ["--grpc-port", "1"], ["--http-port=80"]])
def test_arguments_that_would_break_the_server_are_refused(args: list[str]) -> None:
    (problem,) = service_problems(host_with("spec.predictor.SERVER.args", args))
    assert problem.path == here("spec.predictor.SERVER.args[0]")
    assert "it must be left out" in problem.message


@both_forms
def test_arguments_that_say_what_we_say_are_fine() -> None:
    args = ["--log-verbose=1", "--model-control-mode=explicit", "--grpc-port", "9000"]
    assert service_problems(host_with("spec.predictor.SERVER.args", args)) == []


@both_forms
def test_values_of_environment_variables_are_never_echoed() -> None:
    shapeless = [{"name": "TOKEN", "value": ["secret"]}]
    large = [{"name": "x" * 300, "value": "secret" * 10_000}]
    found = [
        *sentences(service_problems(host_with("spec.predictor.SERVER.env", shapeless))),
        *sentences(service_problems(host_with("spec.predictor.SERVER.env", large))),
    ]
    assert len(found) == 3
    assert all("secret" not in each for each in found)


NUMBER = "is not allowed; it must be from"
TEXT = "a text of"
FORMER_BOUNDS: dict[str, tuple[str, Any, str]] = {
    "fewest replicas": ("spec.predictor.minReplicas", 0, f"0 {NUMBER} 1 to 1000"),
    "most replicas": ("spec.predictor.maxReplicas", 1001, f"1001 {NUMBER} 1 to 1000"),
    "target": ("spec.predictor.scaleTarget", 0, f"0 {NUMBER} 1 to 100000"),
    "metric": ("spec.predictor.scaleMetric", "concurrency", "'concurrency' is not supported; it must be cpu or memory"),
    "grace": ("spec.predictor.terminationGracePeriodSeconds", -1, f"-1 {NUMBER} 0 to 86400"),
    "protocol": ("spec.predictor.SERVER.protocolVersion", "v1", "'v1' is not supported; it must be v2"),
    "grpc": ("spec.predictor.SERVER.protocolVersion", "grpc-v2", "'grpc-v2' is not supported; it must be v2"),
    "image": (
        "spec.predictor.SERVER.image",
        "i" * 1025,
        f"{TEXT} 1025 characters is not allowed; it must have at most",
    ),
    "tag": ("spec.predictor.SERVER.runtimeVersion", "t" * 129, f"{TEXT} 129 characters is not allowed"),
    "argument": ("spec.predictor.SERVER.args", ["a" * 4097], f"{TEXT} 4097 characters is not allowed"),
    "arguments": ("spec.predictor.SERVER.args", ["a"] * 257, "a list of 257 items is not allowed"),
    "account": ("spec.predictor.serviceAccountName", "a" * 254, f"{TEXT} 254 characters is not allowed"),
    "volumes": (
        "spec.predictor.volumes",
        [{}] * 129,
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
def test_a_value_out_of_bounds_is_refused_by_the_rules_for_the_crd_lets_it_in(
    path: str, value: Any, sentence: str
) -> None:
    raw = host_with(path, value)
    assert parse_service(raw).metadata.name, "it parses"
    found = [each for each in service_problems(raw) if each.path.startswith(here(path))]
    assert [each.message.startswith(sentence) for each in found] == [True], found


@both_forms
def test_what_kserve_sets_by_itself_on_a_host_is_fine() -> None:
    raw = host_object(automountServiceAccountToken=False)
    _server(raw)["protocolVersion"] = "v2"
    _server(raw)["args"] = ["--model-control-mode=explicit"]
    assert service_problems(raw) == []
    startup = [{"name": "MLSERVER_LOAD_MODELS_AT_STARTUP", "value": "false"}]
    assert service_problems(host_object(triton=None, sklearn={"protocolVersion": "v2", "env": startup})) == []


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
def test_an_unknown_field_of_a_host_is_refused_with_its_name(path: str) -> None:
    found = sentences(service_problems(host_with(path, {"a": 1})))
    assert found == [
        f"{here(path)}: is not a field that manyserve knows; it must be left out, or be one that kubectl explain lists"
    ]


@both_forms
def test_an_unknown_field_of_a_list_is_refused_with_its_place_and_opaque_parts_are_not_searched() -> None:
    env = [{"name": "A", "value": "b"}, {"name": "B", "val": "b"}]
    (problem,) = service_problems(host_with("spec.predictor.SERVER.env", env))
    assert problem.path == here("spec.predictor.SERVER.env[1].val")
    assert service_problems(host_with("spec.predictor.volumes", [{"name": "a", "future": {}}])) == []


def test_an_unknown_field_of_a_model_is_refused_with_its_name_also_once_it_is_parsed() -> None:
    for path in ("spec.foo", "spec.model.storageURI"):
        raw = model_with(path, "x")
        (problem,) = model_problems(raw)
        assert problem.path == path
        assert model_problems(parse_model(raw)) == [problem] == model_problems(TrainedModel.from_wire(raw))


def test_a_null_counts_as_left_out() -> None:
    assert service_problems(host_with("spec.transformer", None)) == []
    assert model_problems(model_with("spec.model.foo", None)) == []


@both_forms
@pytest.mark.parametrize("each", UNSUPPORTED, ids=lambda each: f"{each.level}.{each.name}")
def test_a_field_of_kserve_that_is_not_supported_yet_says_so(each: Unsupported) -> None:
    parent = {"spec": "spec", "predictor": "spec.predictor", "server": "spec.predictor.SERVER"}[each.level]
    found = sentences(service_problems(host_with(f"{parent}.{each.name}", {})))
    name = f"spec.{each.name}" if each.level == "spec" else each.name
    assert f"{here(parent)}.{each.name}: {name} is not supported yet" in found


def test_a_model_format_without_a_server_is_refused_with_those_that_there_are() -> None:
    found = sentences(service_problems(host_object(triton=None, model={"modelFormat": {"name": "tensorflow"}})))
    assert found == [
        "spec.predictor.model.modelFormat.name: 'tensorflow' has no model server; "
        "it must be one of: triton, sklearn, xgboost, lightgbm"
    ]


@both_forms
def test_of_a_container_beside_a_server_only_that_is_said() -> None:
    (said,) = sentences(service_problems(host_object(containers=[{"name": "proxy", "image": "x"}])))
    assert said.startswith(f"spec.predictor: 2 are given: {server_path().rpartition('.')[2]}, containers; exactly one")


def test_a_second_container_is_refused() -> None:
    own = {"image": "x", "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]}
    assert sentences(service_problems(host_object(triton=None, containers=[own, own]))) == [
        "spec.predictor.containers: 2 are given; it must be one, the model server"
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.model.framework", "x" * 64),
        ("spec.inferenceService", "x" * 64),
        ("spec.model.storageUri", f"gs://bucket/{'x' * 2048}"),
        ("spec.model.digest", "sha256:abc"),
        ("spec.model.refreshInterval", "9.9s"),
        ("spec.model.memory", "1" * 65),
    ],
)
def test_a_value_of_a_model_out_of_bounds_parses_and_is_refused_by_the_rules(path: str, value: str) -> None:
    raw = model_with(path, value)
    assert TrainedModel.from_wire(raw).metadata.name
    (problem,) = model_problems(raw)
    assert problem.path == path


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
