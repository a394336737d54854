"""Launch of each model server, its dialect for the agent, and the settings that users cannot override."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.agent.servers import DIALECTS
from manyserve.agent.settings import AgentSettings
from manyserve.api import conditions
from manyserve.api.inferenceservice import PROTOCOLS, InferenceService, PredictorSpec
from manyserve.api.names import Key
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.capacity import framework_error, multi_model_error
from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.server_container import launch_spec
from manyserve.plan.children.urls import model_path
from manyserve.plan.observed import Observed
from manyserve.plan.rules.validation import host_problems
from manyserve.plan.servers.registry import SERVERS, server_kind
from tests.support import make, world

pytestmark = pytest.mark.usefixtures("both_forms")
KEY = {"name": "MANYSERVE_SERVER_KEY", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
HTTP = "--http-restricted-api=model-repository:manyserve-key=$(MANYSERVE_SERVER_KEY)"
GRPC = "--grpc-restricted-protocol=model-repository:manyserve-key=$(MANYSERVE_SERVER_KEY)"

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
MULTI_MODEL = {"name": "MULTI_MODEL_SERVER", "value": "true"}
OWN_V1 = [{"name": "mine", "image": "mine:1", "env": [MULTI_MODEL, {"name": "PROTOCOL", "value": "v1"}]}]


def variants(name: str) -> dict[str, Any]:
    """Return the configuration of KServe 0.6 for a server of both protocols."""
    v1 = {"image": f"kserve/{name}server", "defaultImageVersion": "v1", "supportedFrameworks": [name]}
    v2 = {"image": "seldonio/mlserver", "defaultImageVersion": "1.7.1", "supportedFrameworks": [name]}
    return {"v1": v1 | {"multiModelServer": True}, "v2": v2 | {"multiModelServer": True}}


def config(triton: dict[str, Any] | None = None) -> ServingConfig:
    predictors = {name: variants(name) for name in ("sklearn", "xgboost", "lightgbm")}
    defaults = {"image": "nvcr.io/nvidia/tritonserver", "defaultImageVersion": "24.10-py3", "multiModelServer": True}
    return make.config(predictors=predictors | {"triton": defaults | (triton or {})})


def host(**predictor: Any) -> InferenceService:
    return make.host(**({"triton": None} | predictor))


def containers(
    host: InferenceService, configured: ServingConfig | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    server, agent = build_pod_template(host, configured or config())["spec"]["containers"]
    return server, agent


def env(container: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value") for each in container.get("env", ())}


def problems(**predictor: Any) -> str:
    return "; ".join(map(str, host_problems(host(**predictor))))


def test_triton_load_api_requires_the_pod_uid_that_both_containers_have() -> None:
    server, agent = containers(host(triton={"env": [{"name": "A", "value": "b"}]}))
    assert server["args"][-2:] == [HTTP, GRPC]
    assert server["env"] == [KEY, {"name": "A", "value": "b"}]
    assert KEY in agent["env"]
    assert env(agent)["MANYSERVE_SERVER_DIALECT"] == "v2"


def test_triton_load_api_is_open_when_the_configuration_says_so() -> None:
    server, agent = containers(host(triton={}), config({"restrictLoadApi": False}))
    assert not any("restricted" in each for each in server["args"])
    assert "env" not in server
    assert KEY not in agent["env"]


@pytest.mark.parametrize(
    ("image", "closed"),
    [
        ("nvcr.io/nvidia/tritonserver:23.05-py3", False),
        ("nvcr.io/nvidia/tritonserver:20.08-py3", False),
        ("registry:5000/triton:23.10", False),
        ("nvcr.io/nvidia/tritonserver:23.11-py3", True),
        ("nvcr.io/nvidia/tritonserver:25.01-py3@sha256:00", True),
        ("manyserve/tritonserver:2.51.0-cpu", True),
        ("registry:5000/triton", True),
        ("triton@sha256:00", True),
    ],
)
def test_triton_has_the_restricting_flags_only_if_its_release_supports_them(image: str, closed: bool) -> None:
    assert launch_spec(host(triton={"image": image}), config()).has_key is closed


def test_triton_of_an_old_runtime_version_has_no_restricting_flags() -> None:
    assert not launch_spec(host(triton={"runtimeVersion": "23.05-py3"}), config()).has_key


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--http-restricted-api=health,model-repository:mine=1", "model-repository, which only the agent uses"),
        ("--grpc-restricted-protocol=model-repository:mine=1", "model-repository, which only the agent uses"),
        ("--allow-sagemaker=true", "undoes the operator's --allow-sagemaker=false"),
        ("--allow-vertex-ai=1", "undoes the operator's --allow-vertex-ai=false"),
    ],
)
def test_triton_arguments_that_open_the_load_api_are_refused(argument: str, message: str) -> None:
    assert message in problems(triton={"args": [argument]})


def test_triton_arguments_that_restrict_other_apis_are_accepted() -> None:
    assert problems(triton={"args": ["--http-restricted-api=trace,logging:mine=1", "--allow-sagemaker=false"]}) == ""


def test_triton_key_in_the_users_environment_is_refused() -> None:
    message = problems(
        triton={"env": [{"name": "A", "value": "1"}, {"name": "MANYSERVE_SERVER_KEY", "value": "known"}]}
    )
    assert message == f"{make.server_path()}.env[1]: MANYSERVE_SERVER_KEY is the operator's; it must be left out"


def test_kserve_server_has_the_arguments_of_0_6() -> None:
    server, agent = containers(host(sklearn={}))
    assert server["image"] == "kserve/sklearnserver:v1"
    assert server["args"] == [
        "--model_name=triton-mms",
        "--model_dir=/mnt/models",
        "--http_port=8080",
        "--grpc_port=9000",
        "--workers=1",
    ]
    assert server["readinessProbe"]["httpGet"] == {"path": "/", "port": "http"}
    assert "env" not in server
    assert env(agent)["MANYSERVE_SERVER_DIALECT"] == "v1"
    assert KEY not in agent["env"]


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_kserve_server_with_threads_has_one_for_each_cpu(name: str) -> None:
    assert "--nthread=3" in containers(host(**{name: {"resources": {"limits": {"cpu": "2500m"}}}}))[0]["args"]
    assert "--nthread=1" in containers(host(**{name: {"protocolVersion": "v1"}}))[0]["args"]


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("sklearn", "mlserver_sklearn.SKLearnModel"),
        ("xgboost", "mlserver_xgboost.XGBoostModel"),
        ("lightgbm", "mlserver_lightgbm.LightGBMModel"),
    ],
)
def test_mlserver_is_the_v2_server_and_configured_by_environment_variables(name: str, runtime: str) -> None:
    server, agent = containers(host(**{name: {"protocolVersion": "v2", "ports": [{"containerPort": 8081}]}}))
    assert server["image"] == "seldonio/mlserver:1.7.1"
    assert server["args"] == []
    assert env(server) == {
        "MLSERVER_HTTP_PORT": "8081",
        "MLSERVER_GRPC_PORT": "9000",
        "MLSERVER_METRICS_PORT": "8002",
        "MLSERVER_MODELS_DIR": "/mnt/models",
        "MLSERVER_LOAD_MODELS_AT_STARTUP": "false",
        "MLSERVER_MODEL_IMPLEMENTATION": runtime,
        "MLSERVER_METRICS_DIR": "/tmp/metrics",
        "MLSERVER_ENVIRONMENTS_DIR": "/tmp/environments",
    }
    assert env(agent)["MANYSERVE_SERVER_DIALECT"] == "mlserver"
    assert env(agent)["MANYSERVE_SERVER_URL"] == "http://localhost:8081"


def test_mlserver_readiness_probe_ignores_models_that_load() -> None:
    server, _ = containers(host(sklearn={"protocolVersion": "v2"}))
    assert server["readinessProbe"]["httpGet"]["path"] == "/v2/health/live", "MLServer is ready while every model is"


@pytest.mark.parametrize("predictor", [{"sklearn": {}}, {"containers": OWN_V1}])
def test_v1_server_liveness_probe_outlasts_a_load(
    predictor: dict[str, Any],
) -> None:
    probe = containers(host(**predictor))[0]["livenessProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] > AgentSettings().load_seconds


def test_custom_server_has_the_probes_of_its_protocol() -> None:
    server, agent = containers(host(containers=OWN_V1))
    assert {server[probe]["httpGet"]["path"] for probe in PROBES} == {"/"}
    assert env(agent)["MANYSERVE_SERVER_DIALECT"] == "v1"
    server, agent = containers(host(containers=[OWN_V1[0] | {"env": [MULTI_MODEL]}]))
    assert [server[probe]["httpGet"]["path"] for probe in PROBES] == ["/v2/health/live"] * 2 + ["/v2/health/ready"]
    assert env(agent)["MANYSERVE_SERVER_DIALECT"] == "v2"


def test_mlserver_accepts_another_runtime_and_refuses_another_folder() -> None:
    server_fields = {"protocolVersion": "v2", "env": [{"name": "MLSERVER_MODEL_IMPLEMENTATION", "value": "mine.Model"}]}
    server, _ = containers(host(sklearn=server_fields))
    assert [each["value"] for each in server["env"] if each["name"] == "MLSERVER_MODEL_IMPLEMENTATION"] == [
        "mine.Model"
    ]
    assert problems(sklearn=server_fields) == ""
    server_fields["env"] = [{"name": "MLSERVER_MODELS_DIR", "value": "/other"}]
    assert f"{make.server_path('sklearn')}.env[0]: MLSERVER_MODELS_DIR is the operator's" in problems(
        sklearn=server_fields
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--model_dir=/other", "undoes the operator's --model_dir=/mnt/models"),
        ("--http_port=1", "undoes the operator's --http_port, which follows SERVER.ports"),
        ("--workers=4", "undoes the operator's --workers=1"),
    ],
)
def test_kserve_server_arguments_that_undo_the_operators_are_refused(argument: str, message: str) -> None:
    path = make.server_path("xgboost")
    assert f"{path}.args[0]: '{argument}' {message.replace('SERVER', path)}" in problems(xgboost={"args": [argument]})


@pytest.mark.parametrize(
    ("predictor", "dialect", "path"),
    [
        ({"sklearn": {}}, "v1", "/v1/models/m:predict"),
        ({"sklearn": {"protocolVersion": "v2"}}, "mlserver", "/v2/models/m/infer"),
        ({"triton": {}}, "v2", "/v2/models/m/infer"),
        ({"containers": [{"image": "own"}]}, "v2", "/v2/models/m/infer"),
        (
            {"containers": [{"image": "own", "env": [{"name": "PROTOCOL", "value": "v1"}]}]},
            "v1",
            "/v1/models/m:predict",
        ),
    ],
)
def test_model_path_follows_the_protocol_of_the_server(predictor: dict[str, Any], dialect: str, path: str) -> None:
    server_host = host(**predictor)
    assert server_kind(server_host.spec.predictor).dialect == dialect
    assert model_path("m", server_host.spec.predictor.protocol) == path


@pytest.mark.parametrize(("protocol", "path"), [("v1", "/v1/models/iris:predict"), ("v2", "/v2/models/iris/infer")])
def test_sklearn_model_becomes_ready_with_the_url_of_its_protocol(protocol: str, path: str) -> None:
    server_host = host(sklearn={"protocolVersion": protocol})
    model = make.model("iris", framework="sklearn")
    key = Key("default", "triton-mms")
    settled = world.settle(
        Observed(key=key, config=config(), host=server_host, models=(model,), pods=(make.pod(),))
    ).models[0]
    assert settled.status.url == f"http://triton-mms.default.example.com{path}"
    ready = conditions.find(settled.status.conditions, conditions.READY)
    assert ready is not None
    assert ready.status == "True"


def test_predictor_configuration_is_separate_for_each_protocol() -> None:
    configured = variants("sklearn")
    configured["v2"] |= {"multiModelServer": False, "supportedFrameworks": ["other"]}
    configured_both = make.config(predictors={"sklearn": configured})
    assert multi_model_error(host(sklearn={}), configured_both) is None
    assert framework_error(host(sklearn={}), "sklearn", configured_both) is None
    v2 = host(sklearn={"protocolVersion": "v2"})
    assert "predictors.sklearn.v2.multiModelServer" in (multi_model_error(v2, configured_both) or "")
    assert "runs sklearn.v2, which does not support framework sklearn; it supports: other" in (
        framework_error(v2, "sklearn", configured_both) or ""
    )


def test_predictor_configuration_without_protocols_is_that_of_v1() -> None:
    flat = make.config(predictors={"lightgbm": variants("lightgbm")["v1"]})
    assert containers(host(lightgbm={}), flat)[0]["image"] == "kserve/lightgbmserver:v1"
    assert multi_model_error(host(lightgbm={"protocolVersion": "v2"}), flat) is not None


def test_server_registry_has_one_kind_for_each_protocol_of_each_predictor() -> None:
    kinds = [(name, protocol) for kind in SERVERS.values() for name in kind.predictors for protocol in kind.protocols]
    assert sorted(kinds) == sorted((name, protocol) for name, protocols in PROTOCOLS.items() for protocol in protocols)


def test_server_registry_names_dialects_that_the_agent_has() -> None:
    assert {kind.dialect for kind in SERVERS.values()} == DIALECTS.keys()


def test_predictors_with_protocols_are_fields_of_the_spec() -> None:
    assert PROTOCOLS.keys() <= PredictorSpec.model_fields.keys()


def test_server_kind_falls_back_to_the_default_protocol() -> None:
    assert server_kind(host(triton={"protocolVersion": "v1"}).spec.predictor) is SERVERS["triton"]
