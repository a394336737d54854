"""MLServer: its launch, its probes, and the environment that users cannot override."""

from __future__ import annotations

import pytest

from tests.plan.servers.launched import (
    containers,
    env,
    host,
    problems,
)
from tests.support import make

pytestmark = pytest.mark.usefixtures("both_forms")


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


def test_mlserver_accepts_variables_that_repeat_the_operators() -> None:
    given = {"HTTP_PORT": "8081", "GRPC_PORT": "9000", "METRICS_PORT": "8002", "MODELS_DIR": "/mnt/models"}
    env = [{"name": f"MLSERVER_{name}", "value": value} for name, value in given.items()]
    fields = {"protocolVersion": "v2", "ports": [{"containerPort": 8081}], "env": env}
    assert problems(sklearn=fields) == ""
    without = problems(sklearn={"protocolVersion": "v2", "env": env[:1]})
    assert without.endswith("MLSERVER_HTTP_PORT is the operator's; it must be 8080, or be left out")
