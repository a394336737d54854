"""Pod template of a host: security contexts, the user's fields, the shared volume."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.hostsconfig import HostsConfig
from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.server_container import RESTRICTED, STRICT, server_image
from tests.support import make

pytestmark = pytest.mark.usefixtures("both_forms")

HOSTS = HostsConfig(
    pod_security_context={"supplementalGroups": [7]},
    server_security_context={"runAsGroup": 8},
    agent_security_context={"readOnlyRootFilesystem": False},
)
"""Contexts without ids, as OpenShift needs them."""


def containers(**predictor: Any) -> dict[str, Any]:
    template = build_pod_template(make.host(**predictor), make.config())
    return {each["name"]: each for each in template["spec"]["containers"]}


def test_pod_has_the_server_and_the_agent() -> None:
    assert list(containers()) == ["kserve-container", "agent"]


def test_triton_has_explicit_model_control_and_the_users_arguments_last() -> None:
    args = containers(triton={"args": ["--log-verbose=1"]})["kserve-container"]["args"]
    assert args[0] == "tritonserver"
    assert "--model-control-mode=explicit" in args
    assert args[-1] == "--log-verbose=1"


def test_server_resources_default_to_one_cpu_and_two_gi() -> None:
    resources = containers(triton={})["kserve-container"]["resources"]
    assert resources == {"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}}


def test_server_limit_defaults_to_the_request() -> None:
    resources = containers(triton={"resources": {"requests": {"memory": "4Gi"}}})["kserve-container"]["resources"]
    assert resources["limits"]["memory"] == "4Gi"


def test_containers_satisfy_pod_security_restricted() -> None:
    template = build_pod_template(make.host(), make.config())
    assert template["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert template["spec"]["automountServiceAccountToken"] is False
    for container in template["spec"]["containers"]:
        context = container["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"]
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_configuration_overrides_security_contexts_and_the_user_overrides_both() -> None:
    config = make.config().model_copy(update={"hosts": HOSTS})
    host = make.host(initContainers=[{"name": "warm", "image": "i"}], triton={"securityContext": {"runAsGroup": 7}})
    spec = build_pod_template(host, config)["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "supplementalGroups": [7],
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (warm,), (server, agent) = spec["initContainers"], spec["containers"]
    assert server["securityContext"] == STRICT | {"runAsGroup": 7}
    assert warm["securityContext"] == RESTRICTED | {"runAsGroup": 8}
    assert agent["securityContext"] == STRICT | {"readOnlyRootFilesystem": False}


def test_pull_secrets_of_the_configuration_follow_those_of_the_user() -> None:
    config = make.config().model_copy(update={"hosts": HostsConfig(image_pull_secrets=("a", "b", "a"))})
    of_host = build_pod_template(make.host(imagePullSecrets=[{"name": "b"}]), config)["spec"]
    assert of_host["imagePullSecrets"] == [{"name": "b"}, {"name": "a"}]
    assert build_pod_template(make.host(), config)["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert "imagePullSecrets" not in build_pod_template(make.host(), make.config())["spec"]


def test_server_mounts_only_the_models_read_only() -> None:
    by_name = containers()
    (models,) = [each for each in by_name["kserve-container"]["volumeMounts"] if each["name"] == "models"]
    assert models == {"name": "models", "mountPath": "/mnt/models", "subPath": "models", "readOnly": True}
    assert {"name": "models", "mountPath": "/mnt/manyserve"} in by_name["agent"]["volumeMounts"]


def test_pod_fields_and_security_settings_of_the_user_override_defaults() -> None:
    host = make.host(
        nodeSelector={"gpu": "yes"},
        tolerations=[{"key": "gpu"}],
        securityContext={"fsGroup": 7},
        triton={"securityContext": {"runAsUser": 7}, "env": [{"name": "A", "value": "b"}]},
    )
    spec = build_pod_template(host, make.config())["spec"]
    assert spec["nodeSelector"] == {"gpu": "yes"}
    assert spec["tolerations"] == [{"key": "gpu"}]
    assert spec["securityContext"]["fsGroup"] == 7
    assert spec["containers"][0]["securityContext"]["runAsUser"] == 7
    assert {"name": "A", "value": "b"} in spec["containers"][0]["env"]
    assert not {"triton", "minReplicas"} & set(spec)


def test_server_image_is_the_users_or_the_configured_one_of_the_runtime_version() -> None:
    assert server_image(make.host(), make.config()) == "example/tritonserver:1"
    assert server_image(make.host(triton={"runtimeVersion": "2"}), make.config()) == "example/tritonserver:2"
    assert server_image(make.host(triton={"image": "mine:3"}), make.config()) == "mine:3"
    assert server_image(make.host(), make.config(predictors={})) is None


@pytest.mark.parametrize("quantity", ["0", 0, "0m", "0.0"])
def test_server_image_is_not_the_gpu_image_for_no_gpu(quantity: str | int) -> None:
    triton = {"image": "triton", "defaultImageVersion": "cpu", "defaultGpuImageVersion": "gpu"}
    config = make.config(predictors={"triton": triton})
    none = make.host(triton={"resources": {"limits": {"nvidia.com/gpu": quantity}}})
    assert server_image(none, config) == "triton:cpu"
    other = make.host(triton={"resources": {"limits": {"nvidia.com/gpu": quantity, "nvidia.com/mig-1g.10gb": 1}}})
    assert server_image(other, config) == "triton:gpu"


@pytest.mark.parametrize(
    ("resource", "tag"),
    [
        ("nvidia.com/gpu", "gpu"),
        ("nvidia.com/mig-1g.10gb", "gpu"),
        ("nvidia.com/gpu.shared", "gpu"),
        ("amd.com/gpu", "cpu"),
        ("mine.example.com/nvidia.com", "cpu"),
        ("cpu", "cpu"),
    ],
)
def test_server_image_is_the_gpu_image_for_each_resource_of_nvidia(resource: str, tag: str) -> None:
    triton = {"image": "triton", "defaultImageVersion": "cpu", "defaultGpuImageVersion": "gpu"}
    host = make.host(triton={"resources": {"limits": {resource: "1"}}})
    assert server_image(host, make.config(predictors={"triton": triton})) == f"triton:{tag}"


def test_custom_server_has_only_the_users_arguments() -> None:
    own = [{"image": "mine:1", "args": ["serve"], "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]}]
    server = containers(triton=None, containers=own)["kserve-container"]
    assert server["args"] == ["serve"]
    assert server["image"] == "mine:1"


def test_pod_template_is_equal_for_all_forms_of_a_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = {"args": ["--log-verbose=1"], "env": [{"name": "A", "value": "b"}], "runtimeVersion": "2"}
    templates = []
    for form in make.FORMS:
        monkeypatch.setattr(make, "FORM", form)
        templates.append(build_pod_template(make.host(triton=server, nodeSelector={"gpu": "yes"}), make.config()))
    assert templates[0] == templates[1]


def test_containers_end_with_a_message_from_their_log() -> None:
    assert {each["terminationMessagePolicy"] for each in containers().values()} == {"FallbackToLogsOnError"}


LIMITED = {"ephemeralStorageRequest": "10Gi", "ephemeralStorageLimit": "30Gi", "volumeSizeLimit": "20Gi"}


def test_volume_and_agent_have_the_limits_of_the_configuration() -> None:
    spec = build_pod_template(make.host(), make.config(agent=LIMITED))["spec"]
    assert spec["volumes"][0] == {"name": "models", "emptyDir": {"sizeLimit": "20Gi"}}
    agent = spec["containers"][1]
    assert agent["resources"]["requests"]["ephemeral-storage"] == "10Gi"
    assert agent["resources"]["limits"]["ephemeral-storage"] == "30Gi"
    assert {"name": "MANYSERVE_VOLUME_BYTES", "value": str(20 * 2**30)} in agent["env"]


SIZE = "serving.kserve.io/models-volume-size-limit"


@pytest.mark.parametrize(
    ("agent", "own", "size", "held"),
    [
        ({}, "1Gi", "1Gi", 2**30),
        (LIMITED, "1Gi", "1Gi", 2**30),
        (LIMITED, "40Gi", "40Gi", 30 * 2**30),
        (LIMITED, "", "20Gi", 20 * 2**30),
    ],
    ids=["without a configured one", "smaller", "larger than the agent's storage", "empty"],
)
def test_volume_has_the_limit_of_the_host_in_place_of_the_configured_one(
    agent: dict[str, str], own: str, size: str, held: int
) -> None:
    """The agent's own limit of ephemeral storage holds all the same."""
    hosts = (make.labelled_host({}, {SIZE: own}), make.labelled_host({}, {SIZE: "9Ti"}, annotations={SIZE: own}))
    for host in hosts:
        spec = build_pod_template(host, make.config(agent=agent))["spec"]
        assert spec["volumes"][0] == {"name": "models", "emptyDir": {"sizeLimit": size}}
        assert {"name": "MANYSERVE_VOLUME_BYTES", "value": str(held)} in spec["containers"][1]["env"]


@pytest.mark.parametrize("agent", [{}, dict.fromkeys(LIMITED, "")])
def test_pod_without_limits_of_storage_has_none(agent: dict[str, str]) -> None:
    text = str(build_pod_template(make.host(), make.config(agent=agent)))
    assert [word for word in ("ephemeral-storage", "sizeLimit", "VOLUME_BYTES") if word in text] == []
