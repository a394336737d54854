"""Rules for resources, probes and other settings of a pod, in both forms of a host.

tests/contract/test_pod_rules.py compares the verdicts with the API server; these tests pin the sentences.
"""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.rules.validation import host_problems
from tests.plan.rules.paths import sentences
from tests.support import make

pytestmark = pytest.mark.usefixtures("both_forms")


def problems(predictor: dict[str, Any] | None = None, **server: Any) -> list[str]:
    raw = make.host_object(triton=server, **(predictor or {}))
    return [each.replace(make.server_path(), "SERVER") for each in sentences(host_problems(raw))]


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        (
            {"requests": {"nvidia.com/gpu": "1"}},
            "requests.nvidia.com/gpu: is not in limits; requests and limits of nvidia.com/gpu must be equal",
        ),
        (
            {"limits": {"nvidia.com/gpu": 2}, "requests": {"nvidia.com/gpu": 1}},
            "requests.nvidia.com/gpu: 1 is less than the limit; it must be 2, too",
        ),
        ({"limits": {"nvidia.com/gpu": "0.5"}}, "limits.nvidia.com/gpu: '0.5' must be a whole number"),
        (
            {"limits": {"gpu": 1}},
            "limits: 'gpu' is not a resource; it must be cpu, memory, ephemeral-storage, "
            "or a name with a domain, such as nvidia.com/gpu",
        ),
        ({"claims": [{"name": "gpu"}]}, "claims: no claim is in the pods of a host; it must be left out"),
    ],
)
def test_pod_rules_refuse_resources_that_kubernetes_refuses(resources: dict[str, Any], sentence: str) -> None:
    assert problems(resources=resources) == [f"SERVER.resources.{sentence}"]


@pytest.mark.parametrize("name", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "amd.com/gpu", "hugepages-2Mi"])
def test_pod_rules_accept_equal_requests_and_limits_of_extended_resources(name: str) -> None:
    assert problems(resources={"limits": {name: "2"}}) == []
    assert problems(resources={"limits": {name: "2"}, "requests": {name: 2}}) == []


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        (
            {"livenessProbe": {"periodSeconds": -1}},
            "livenessProbe.periodSeconds: -1 is not allowed; it must be",
        ),
        (
            {"readinessProbe": {"exec": {"command": ["a"]}, "httpGet": {"port": 1}}},
            "readinessProbe: an object is not allowed; it must have at most one of: httpGet, exec, tcpSocket, grpc",
        ),
        (
            {"startupProbe": {"httpGet": {"port": "web"}}},
            "startupProbe.httpGet.port: 'web' is not a port of the container; "
            "it must be a number or one of: http, grpc, metrics",
        ),
        (
            {"lifecycle": {"preStop": {"sleep": {"seconds": 50}}}},
            "lifecycle.preStop.sleep.seconds: 50 is not allowed; it must be at most terminationGracePeriodSeconds, 45",
        ),
        ({"env": [{"name": "A"}, {"name": "A"}]}, "env[1]: 'A' is given twice; it must be given once"),
        ({"env": [{"name": "A=B"}]}, "env[0].name: a text of 3 characters is not allowed; it must be printable ASCII"),
        (
            {"securityContext": {"privileged": True}},
            "securityContext.allowPrivilegeEscalation: must be true with privileged; unset: false",
        ),
        (
            {"securityContext": {"runAsUser": 0}},
            "securityContext.runAsNonRoot: must be false with runAsUser 0; unset: true",
        ),
        ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy: a text of 9 characters is not allowed; it must be ''"),
    ],
)
def test_pod_rules_refuse_settings_of_the_server_with_a_sentence(server: dict[str, Any], sentence: str) -> None:
    (problem,) = problems(**server)
    assert problem.startswith(f"SERVER.{sentence}")


@pytest.mark.parametrize(
    ("predictor", "sentence"),
    [
        (
            {"tolerations": [{"key": "a", "effect": "No"}]},
            "tolerations[0].effect: a text of 2 characters is not",
        ),
        ({"tolerations": [{}]}, "tolerations[0]: an object is not allowed; it must have a key, or the operator Exists"),
        ({"nodeSelector": {"a b": "c"}}, "nodeSelector.a b: a text of 3 characters is not allowed; it must be the key"),
        ({"imagePullSecrets": [{"name": "a"}] * 2}, "imagePullSecrets[1]: 'a' is given twice"),
        ({"volumes": [{"name": "a", "secret": {}}]}, "volumes[0].secret.secretName: is missing; it must be given"),
        (
            {"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/a"}}]},
            "volumes[0]: an object is not allowed; "
            "it must have at most one of: emptyDir, configMap, secret, persistentVolumeClaim, hostPath, nfs, ...",
        ),
    ],
)
def test_pod_rules_refuse_settings_of_the_pod_with_a_sentence(predictor: dict[str, Any], sentence: str) -> None:
    (problem,) = problems(predictor)
    assert problem.startswith(f"spec.predictor.{sentence}")


def test_pod_rules_leave_fields_of_newer_releases_to_the_api_server() -> None:
    assert problems({"volumes": [{"name": "a", "tomorrow": {"path": 1}}]}) == []
    assert problems(livenessProbe={"tomorrow": {"port": 1}}, envFrom=[{"tomorrowRef": {}}]) == []
