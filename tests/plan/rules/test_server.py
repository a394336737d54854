"""Rules for the model server of hosts in both forms: resources, ports, arguments, environment."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.rules.validation import host_problems, parse_host
from manyserve.plan.servers.ports import http_port
from tests.plan.rules.paths import host_with, resolved_path, sentences, server
from tests.support.make import host_object, server_path

both_forms = pytest.mark.usefixtures("both_forms")


@both_forms
def test_custom_server_rules_require_image_and_multi_model_variable() -> None:
    bare = host_object(triton=None, containers=[{"name": "x"}])
    assert [each.path for each in host_problems(bare)] == [
        "spec.predictor.containers[0].image",
        "spec.predictor.containers[0].env",
    ]
    env = [{"name": "MULTI_MODEL_SERVER", "value": "true"}]
    assert host_problems(host_object(triton=None, containers=[{"image": "x", "env": env}])) == []


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
def test_server_rules_refuse_impossible_resources(part: str, name: str, value: str, why: str) -> None:
    raw = host_object()
    resources = server(raw)["resources"] = {
        "limits": {"cpu": "1", "memory": "2Gi"},
        "requests": {"cpu": "1m", "memory": "1Mi"},
    }
    resources[part][name] = value
    if part == "limits":
        del resources["requests"]
    (problem,) = host_problems(raw)
    assert str(problem).startswith(f"{server_path()}.resources.{part}.{name}: {why}")


@both_forms
@pytest.mark.parametrize("port", [0, 65536, "http", None, True, 9081, 9000, 8002])
def test_server_rules_refuse_port_that_cannot_serve_http(port: Any) -> None:
    (problem,) = host_problems(host_with("spec.predictor.SERVER.ports", [{"containerPort": port}]))
    assert problem.path == resolved_path("spec.predictor.SERVER.ports[0].containerPort")


@both_forms
def test_server_rules_refuse_second_http_port() -> None:
    ports = [{"containerPort": 8080}, {"containerPort": 8081}]
    (problem,) = host_problems(host_with("spec.predictor.SERVER.ports", ports))
    assert problem.message == "8080, 8081 are given for HTTP; it must be one at most"


@both_forms
@pytest.mark.parametrize(
    ("ports", "http"),
    [
        ([{"containerPort": 9000, "name": "h2c", "protocol": "TCP"}], 8080),
        ([{"containerPort": 8081, "name": "http1"}, {"containerPort": 9000, "name": "grpc-port"}], 8081),
        ([{"containerPort": 9000}, {"containerPort": 8002}, {"containerPort": 8081}], 8081),
        ([{"containerPort": 8002, "name": "http-metrics"}], 8080),
        ([{"containerPort": 8080, "name": "http"}, {"containerPort": 8080, "name": "http1"}], 8080),
    ],
)
def test_server_rules_accept_ports_that_repeat_the_operators(ports: list[Any], http: int) -> None:
    raw = host_with("spec.predictor.SERVER.ports", ports)
    assert host_problems(raw) == []
    assert http_port(parse_host(raw)) == http


@both_forms
@pytest.mark.parametrize(
    ("port", "message"),
    [
        ({"containerPort": 8001, "name": "h2c"}, "8001 is not the port for gRPC; it must be 9000"),
        ({"containerPort": 9000, "name": "metrics"}, "9000 is not the port for the server's metrics; it must be 8002"),
        ({"containerPort": 9000, "name": "http1"}, "9000 is taken for gRPC; it must be another port"),
        ({"containerPort": 8002}, "8002 is taken for the server's metrics; it must be another port"),
    ],
)
def test_server_rules_refuse_port_that_contradicts_its_role(port: dict[str, Any], message: str) -> None:
    (problem,) = host_problems(host_with("spec.predictor.SERVER.ports", [port]))
    assert problem == (resolved_path("spec.predictor.SERVER.ports[0].containerPort"), message)


@both_forms
@pytest.mark.parametrize("args", [["--model-control-mode=none"], ["--grpc-port", "1"], ["--http-port=80"]])
def test_server_rules_refuse_change_of_owned_arguments(args: list[str]) -> None:
    (problem,) = host_problems(host_with("spec.predictor.SERVER.args", args))
    assert problem.path == resolved_path("spec.predictor.SERVER.args[0]")
    assert "it must be left out" in problem.message


@both_forms
def test_server_rules_accept_arguments_equal_to_owned_ones() -> None:
    args = ["--log-verbose=1", "--model-control-mode=explicit", "--grpc-port", "9000"]
    assert host_problems(host_with("spec.predictor.SERVER.args", args)) == []


@both_forms
def test_server_rules_never_echo_values_of_variables() -> None:
    shapeless = [{"name": "TOKEN", "value": ["secret"]}]
    large = [{"name": "x" * 300, "value": "secret" * 10_000}]
    problems = [
        *sentences(host_problems(host_with("spec.predictor.SERVER.env", shapeless))),
        *sentences(host_problems(host_with("spec.predictor.SERVER.env", large))),
    ]
    assert len(problems) == 3
    assert all("secret" not in each for each in problems)


@both_forms
def test_server_rules_accept_defaults_of_kserve() -> None:
    raw = host_object(automountServiceAccountToken=False)
    server(raw)["protocolVersion"] = "v2"
    server(raw)["args"] = ["--model-control-mode=explicit"]
    assert host_problems(raw) == []
    startup = [{"name": "MLSERVER_LOAD_MODELS_AT_STARTUP", "value": "false"}]
    assert host_problems(host_object(triton=None, sklearn={"protocolVersion": "v2", "env": startup})) == []


def test_server_rules_refuse_model_format_without_a_server() -> None:
    problems = sentences(host_problems(host_object(triton=None, model={"modelFormat": {"name": "tensorflow"}})))
    assert problems == [
        "spec.predictor.model.modelFormat.name: 'tensorflow' has no model server; "
        "it must be one of: triton, sklearn, xgboost, lightgbm"
    ]


@both_forms
def test_server_rules_report_container_beside_server_as_only_error() -> None:
    (problem,) = sentences(host_problems(host_object(containers=[{"name": "proxy", "image": "x"}])))
    assert problem.startswith(
        f"spec.predictor: 2 are given: {server_path().rpartition('.')[2]}, containers; exactly one"
    )


def test_custom_server_rules_refuse_second_container() -> None:
    own = {"image": "x", "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]}
    assert sentences(host_problems(host_object(triton=None, containers=[own, own]))) == [
        "spec.predictor.containers: 2 are given; it must be one, the model server"
    ]
