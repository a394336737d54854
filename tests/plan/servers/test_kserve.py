"""KServe's servers: their launch, their probes, and the arguments that users cannot override."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.agent.settings import AgentSettings
from tests.plan.servers.launched import (
    KEY,
    OWN_V1,
    containers,
    env,
    host,
    problems,
)
from tests.support import make

pytestmark = pytest.mark.usefixtures("both_forms")


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


@pytest.mark.parametrize("predictor", [{"sklearn": {}}, {"containers": OWN_V1}])
def test_v1_server_liveness_probe_outlasts_a_load(
    predictor: dict[str, Any],
) -> None:
    probe = containers(host(**predictor))[0]["livenessProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] > AgentSettings().load_seconds


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--model_dir=/other", "undoes the operator's --model_dir=/mnt/models"),
        ("--http_port=1", "undoes the operator's --http_port=8080, which follows SERVER.ports"),
        ("--workers=4", "undoes the operator's --workers=1"),
    ],
)
def test_kserve_server_arguments_that_undo_the_operators_are_refused(argument: str, message: str) -> None:
    path = make.server_path("xgboost")
    assert f"{path}.args[0]: '{argument}' {message.replace('SERVER', path)}" in problems(xgboost={"args": [argument]})
