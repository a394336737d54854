"""Rules for arguments and command of a server, in both forms of a host."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.rules.arguments import unused_arguments
from manyserve.plan.rules.validation import host_problems, parse_host
from tests.plan.rules.paths import sentences
from tests.support import make

pytestmark = pytest.mark.usefixtures("both_forms")


def problems(**server: Any) -> list[str]:
    return [each.replace(make.server_path(), "SERVER") for each in sentences(host_problems(host_object(**server)))]


def host_object(**server: Any) -> make.Manifest:
    return make.host_object(triton=server)


@pytest.mark.parametrize(
    "args",
    [
        ["--http-port=8080"],
        ["--http-port", "8080"],
        ["--http-p", "08080"],
        ["--allow-http=true", "--allow-http=1", "--allow-http", "On"],
        ["--strict-readiness=0", "--allow-sagemaker=OFF", "--exit-on-error=True"],
        ["--model-store=/mnt/models", "--model-repository", "/mnt/models"],
        ["--model-control-mode=EXPLICIT", "--repository-poll-secs=0", "--http-address=::"],
        ["tritonserver", "--model-store=/mnt/models", "--grpc-port=9000", "--http-port=8080", "--allow-grpc=true"],
        ["/opt/tritonserver/bin/tritonserver", "--log-verbose", "1"],
        ["--log-file", "tritonserver", "--disable-auto-complete-config", "$(MORE_FLAGS)"],
        ["--http-thread-count=32", "--exit-timeout-secs=60", "--backend-config=python,shm-default-byte-size=1"],
        ["--http-restricted-api=trace,logging:k=v", "--grpc-restricted-protocol=health:k=v"],
        ["--flag-of-tomorrow", "value", "--another-one=1"],
    ],
    ids=" ".join,
)
def test_triton_arguments_are_accepted_that_repeat_the_operators_or_are_free(args: list[str]) -> None:
    assert problems(args=args) == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--load-model=*"],
            "'--load-model=*' is not allowed: the agent loads the models, and a TrainedModel declares",
        ),
        (["--load-m", "a"], "'--load-m a' is not allowed"),
        (["--help"], "'--help' is not allowed: the server would print its flags and end"),
        (["--model-control-mode", "poll"], "undoes the operator's --model-control-mode=explicit: the agent loads"),
        (["--model-control=none"], "undoes the operator's --model-control-mode=explicit"),
        (["--model-control-mode=$(MODE)"], "undoes the operator's --model-control-mode=explicit"),
        (["--repository-poll-secs=15"], "undoes the operator's --repository-poll-secs=0: the server does not poll"),
        (["--model-repository=/mnt/models/"], "undoes the operator's --model-repository=/mnt/models: the agent stores"),
        (["--grpc-restricted-protocol=$(APIS)"], "takes its APIs from a variable without a known value"),
        (["--model-store=/models"], "undoes the operator's --model-store=/mnt/models: the agent stores the models"),
        (["--http-port=8000"], "undoes the operator's --http-port=8080, which follows SERVER.ports"),
        (["--grpc-port=8001"], "undoes the operator's --grpc-port=9000"),
        (["--metrics-port=9002"], "undoes the operator's --metrics-port=8002"),
        (["--allow-http=off"], "undoes the operator's --allow-http=true: the agent and the probes use HTTP"),
        (["--allow-http=yes"], "undoes the operator's --allow-http=true"),
        (["--http-address=127.0.0.1"], "undoes the operator's --http-address=0.0.0.0"),
        (["--strict-readiness=true"], "undoes the operator's --strict-readiness=false"),
        (["--exit-on-error=false"], "undoes the operator's --exit-on-error=true"),
        (["--model-namespacing=1"], "undoes the operator's --model-namespacing=false"),
        (["--http-thread-count=2"], "'--http-thread-count=2' is not a number of at least 8"),
        (["--http-restricted-api=health:k=v"], "names health, which the probes use"),
        (["--http-restricted-api", "inference,model-repository:k=v"], "names model-repository, which only the agent"),
        (["--grpc-restricted-protocol=model-repository:k=v"], "names model-repository, which only the agent uses"),
        (["--grpc=1"], "'--grpc=1' is the beginning of 21 flags: --grpc-address, --grpc-port"),
        (["--disable-auto-complete-config=true"], "'--disable-auto-complete-config=true' has no value"),
        (["--log-verbose"], "'--log-verbose' lacks its value"),
        (["-v"], "'-v' is no flag: tritonserver takes only flags"),
        (["/bin/sh", "-c", "tritonserver"], "'/bin/sh' is no flag: tritonserver takes only flags"),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_triton_argument_that_fights_the_operator_is_refused_with_its_reason(args: list[str], message: str) -> None:
    (problem,) = problems(args=args)
    assert problem.startswith("SERVER.args[0]: ")
    assert message in problem
    assert problem.endswith("it must be left out")


def test_triton_argument_has_the_path_that_the_user_wrote() -> None:
    (problem,) = problems(args=["tritonserver", "--log-verbose", "1", "--load-model", "a"])
    assert problem.startswith("SERVER.args[3]: '--load-model a' is not allowed")


def test_triton_http_port_argument_follows_the_port_of_the_user() -> None:
    ports = [{"containerPort": 8081, "name": "http1"}]
    assert problems(ports=ports, args=["--http-port=8081"]) == []
    (problem,) = problems(ports=ports, args=["--http-port=8080"])
    assert "undoes the operator's --http-port=8081, which follows SERVER.ports" in problem


@pytest.mark.parametrize(
    "server",
    [
        {"command": ["tritonserver"]},
        {"command": ["/opt/tritonserver/bin/tritonserver", "--log-verbose=1"], "args": ["--id=a"]},
        {"command": ["/opt/nvidia/nvidia_entrypoint.sh"], "args": ["tritonserver", "--id=a"]},
        {"command": ["bash", "/start.sh"]},
        {"command": ["python3", "/wrapper.py"], "args": ["mode", "-v", "--flag-of-the-wrapper"]},
        {"command": ["/bin/sh", "-c", 'pip install x; exec tritonserver "$@"', "tritonserver"], "args": ["--id=a"]},
        {"command": ["env", "bash", "-euo", "pipefail", "-c", "tritonserver $@", "-"]},
    ],
)
def test_command_is_accepted_that_starts_the_server_with_the_arguments(server: dict[str, Any]) -> None:
    assert problems(**server) == []


@pytest.mark.parametrize(
    "server",
    [
        {"command": ["/bin/sh", "-c"], "args": ["exec tritonserver --model-repository=/mnt/models"]},
        {"command": ["bash", "-lc", "tritonserver --model-repository=/mnt/models"]},
        {"command": ["sh", "-c", 'exec tritonserver "$@"']},  # the first argument is $0
    ],
)
def test_command_is_refused_if_its_shell_drops_the_arguments(server: dict[str, Any]) -> None:
    (problem,) = problems(**server)
    assert problem == (
        "SERVER.command: a shell does not pass the operator's arguments on to the server so; "
        "it must have the form [sh, -c, '...; exec tritonserver \"$@\"', tritonserver]"
    )


def test_arguments_of_a_wrapper_are_judged_if_they_are_flags_of_the_server() -> None:
    (problem,) = problems(command=["/wrapper"], args=["mode", "--load-model=a"])
    assert problem.startswith("SERVER.args[1]: '--load-model=a' is not allowed")


def test_command_flags_are_judged_as_arguments_are() -> None:
    (problem,) = problems(command=["tritonserver", "--log-verbose=1", "--load-model=a"])
    assert problem.startswith("SERVER.command[2]: '--load-model=a' is not allowed")


def test_server_container_has_the_program_once() -> None:
    def arguments(**server: Any) -> list[str]:
        template = build_pod_template(make.host(triton=server), make.config())
        args: list[str] = template["spec"]["containers"][0]["args"]
        return args

    assert arguments(args=["tritonserver", "--id=a"]).count("tritonserver") == 1
    assert arguments(args=["--id=a"]) == arguments(args=["/usr/bin/tritonserver", "--id=a"])
    assert arguments(command=["/entrypoint.sh"], args=["tritonserver", "--id=a"]) == arguments(args=["--id=a"])
    assert arguments(command=["/entrypoint.sh"], args=["--id=a"])[0].startswith("--model-repository")
    assert arguments(command=["tritonserver"], args=["tritonserver", "--id=a"]).count("tritonserver") == 0


def test_arguments_without_effect_and_unknown_ones_have_a_warning() -> None:
    args = ["--flag-of-tomorrow=secret", "value", "--sagemaker-port=1", "--id=a", "--allow-sagemaker=false"]
    host = parse_host(host_object(args=[each for each in args if each != "value"]))
    path = make.server_path()
    assert list(unused_arguments(host)) == [
        f"{path}.args[0]: '--flag-of-tomorrow' is not a flag that manyserve knows; "
        "tritonserver ends if it does not know it either",
        f"{path}.args[1]: --sagemaker-port has no effect: SageMaker's endpoint is off",
    ]


def test_custom_and_v1_servers_keep_arguments_that_no_table_knows() -> None:
    own = [{"image": "x", "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}], "args": ["serve", "-v"]}]
    own[0]["command"] = ["sh", "-c"]
    assert host_problems(make.host_object(triton=None, containers=own)) == []
    kserve = {"args": ["--http_port", "8080", "--workers=1", "--max_buffer_size=1", "extra"]}
    assert host_problems(make.host_object(triton=None, sklearn=kserve)) == []


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("$(FLAGS)", "--load-model=*", "'--load-model=*' is not allowed: the agent loads the models"),
        ("--http-restricted-api=$(FLAGS)", "health:k=v", "names health, which the probes use"),
        ("--grpc-restricted-protocol=$(FLAGS)", "model-repository:k=v", "names model-repository, which only the agent"),
        ("--$(FLAGS)=1", "allow-sagemaker", "undoes the operator's --allow-sagemaker=false"),
        ("$(FLAGS)", "two words", "is no flag: tritonserver takes only flags"),
    ],
)
def test_triton_arguments_are_judged_with_the_values_of_variables(argument: str, value: str, message: str) -> None:
    (problem,) = problems(
        args=[argument], env=[{"name": "PART", "value": value}, {"name": "FLAGS", "value": "$(PART)"}]
    )
    assert message in problem


def test_triton_arguments_with_variables_that_repeat_the_operators_are_accepted() -> None:
    env = [{"name": "PORT", "value": "8080"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    args = ["--http-port=$(PORT)", "--http-restricted-api=inference:key=$(KEY)", "--id=$$(PORT)", "$(UNKNOWN)"]
    assert problems(args=args, env=env) == []
