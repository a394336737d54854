"""The pod of a host: strict by default, the user's fields laid over, one volume for server and agent."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.server_container import server_image
from tests.support import make

pytestmark = pytest.mark.usefixtures("both_forms")


def containers(**predictor: Any) -> dict[str, Any]:
    template = build_pod_template(make.host(**predictor), make.config())
    return {each["name"]: each for each in template["spec"]["containers"]}


def test_the_pod_has_the_server_and_the_agent() -> None:
    assert list(containers()) == ["kserve-container", "agent"]


def test_triton_is_started_for_explicit_control_and_gets_the_users_arguments_last() -> None:
    args = containers(triton={"args": ["--log-verbose=1"]})["kserve-container"]["args"]
    assert args[0] == "tritonserver"
    assert "--model-control-mode=explicit" in args
    assert args[-1] == "--log-verbose=1"


def test_unset_resources_are_one_cpu_and_two_gi() -> None:
    resources = containers(triton={})["kserve-container"]["resources"]
    assert resources == {"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}}


def test_a_request_alone_is_the_limit_too() -> None:
    resources = containers(triton={"resources": {"requests": {"memory": "4Gi"}}})["kserve-container"]["resources"]
    assert resources["limits"]["memory"] == "4Gi"


def test_every_container_is_as_strict_as_restricted_asks() -> None:
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


def test_the_server_sees_only_the_models_and_cannot_write_them() -> None:
    both = containers()
    (models,) = [each for each in both["kserve-container"]["volumeMounts"] if each["name"] == "models"]
    assert models == {"name": "models", "mountPath": "/mnt/models", "subPath": "models", "readOnly": True}
    assert {"name": "models", "mountPath": "/mnt/manyserve"} in both["agent"]["volumeMounts"]


def test_pod_fields_and_security_settings_of_the_user_are_laid_over() -> None:
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


def test_the_image_is_the_users_or_the_configured_one_of_the_asked_version() -> None:
    assert server_image(make.host(), make.config()) == "example/tritonserver:1"
    assert server_image(make.host(triton={"runtimeVersion": "2"}), make.config()) == "example/tritonserver:2"
    assert server_image(make.host(triton={"image": "mine:3"}), make.config()) == "mine:3"
    assert server_image(make.host(), make.config(predictors={})) is None


def test_a_server_of_ones_own_gets_only_the_arguments_that_the_user_gives() -> None:
    own = [{"image": "mine:1", "args": ["serve"], "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]}]
    server = containers(triton=None, containers=own)["kserve-container"]
    assert server["args"] == ["serve"]
    assert server["image"] == "mine:1"


def test_the_pod_is_the_same_whichever_form_the_host_has_so_that_a_change_of_form_rolls_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"args": ["--log-verbose=1"], "env": [{"name": "A", "value": "b"}], "runtimeVersion": "2"}
    templates = []
    for form in make.FORMS:
        monkeypatch.setattr(make, "FORM", form)
        templates.append(build_pod_template(make.host(triton=given, nodeSelector={"gpu": "yes"}), make.config()))
    assert templates[0] == templates[1]
