"""Triton: its launch, the key of its load API, and the arguments that users cannot override."""

from __future__ import annotations

import pytest

from manyserve.plan.children.server_container import launch_spec
from tests.plan.servers.launched import (
    GRPC,
    HTTP,
    KEY,
    config,
    containers,
    env,
    host,
    problems,
)
from tests.support import make

pytestmark = pytest.mark.usefixtures("both_forms")


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


def test_triton_api_with_a_key_of_the_user_is_left_out_of_the_operators_flag() -> None:
    args = ["--http-restricted-api", "trace, logging:mine=1", "--grpc-restricted-protocol=shared-memory,health:k=v"]
    server, _ = containers(host(triton={"args": args}))
    key = "manyserve-key=$(MANYSERVE_SERVER_KEY)"
    assert f"--http-restricted-api=model-repository,shared-memory:{key}" in server["args"]
    assert f"--grpc-restricted-protocol=model-repository,trace,logging:{key}" in server["args"]
    assert server["args"][-3:] == args


def test_triton_key_in_the_users_environment_is_refused() -> None:
    message = problems(
        triton={"env": [{"name": "A", "value": "1"}, {"name": "MANYSERVE_SERVER_KEY", "value": "known"}]}
    )
    assert message == f"{make.server_path()}.env[1]: MANYSERVE_SERVER_KEY is the operator's; it must be left out"
