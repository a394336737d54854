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


WARM: dict[str, Any] = {"name": "warm", "image": "example/warm:1"}
HTTP = {"httpGet": {"port": 8080}}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"volumeMount": []}, "volumeMount: is not a field that manyserve knows"),
        ({"command": "true"}, "command: a text of 4 characters is not allowed"),
        ({"restartPolicy": "Never"}, "restartPolicy: 'Never' is not allowed; it must be Always, or be left out"),
        ({"livenessProbe": HTTP}, "livenessProbe: is for init containers with restartPolicy Always"),
        ({"lifecycle": {"preStop": HTTP}}, "lifecycle: is for init containers with restartPolicy Always"),
        (
            {"restartPolicy": "Always", "startupProbe": {"periodSeconds": 5}},
            "startupProbe: an object is not allowed; it must have exactly one of: httpGet, exec, tcpSocket, grpc",
        ),
        (
            {"restartPolicy": "Always", "startupProbe": {"httpGet": {"path": "/"}}},
            "startupProbe.httpGet.port: is missing",
        ),
        (
            {"restartPolicy": "Always", "startupProbe": {"httpGet": {"port": "http"}}},
            "startupProbe.httpGet.port: 'http' is not a port of the container; it must be a number",
        ),
        ({"env": [{"name": "A=B"}]}, "env[0].name: a text of 3 characters is not allowed"),
        ({"env": [{"name": "A"}, {"name": "A"}]}, "env[1]: 'A' is given twice"),
        ({"ports": [{"containerPort": 0}]}, "ports[0].containerPort: 0 is not allowed"),
        (
            {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": 1}}},
            "resources.requests.cpu: 2 is more than the limit",
        ),
        ({"resources": {"limits": {"cpu": "two"}}}, "resources.limits.cpu: 'two' is not a quantity"),
        ({"resources": {"requests": {"nvidia.com/gpu": 1}}}, "resources.requests.nvidia.com/gpu: is not in limits"),
        ({"securityContext": {"runAsUser": 0}}, "securityContext.runAsNonRoot: must be false with runAsUser 0"),
        ({"securityContext": {"privileged": True}}, "securityContext.allowPrivilegeEscalation: must be true"),
        ({"volumeMounts": [{"name": "gone", "mountPath": "/a"}]}, "volumeMounts[0].name: 'gone' is not a volume"),
        ({"volumeMounts": [{"name": "models", "mountPath": "/a"}]}, "volumeMounts[0].name: 'models' is not a volume"),
        ({"volumeMounts": [{"name": "data", "mountPath": "/"}]}, "volumeMounts[0].mountPath: '/' is the root"),
    ],
    ids=str,
)
def test_pod_rules_refuse_init_container_that_kubernetes_or_the_kubelet_refuses(
    fields: dict[str, Any], sentence: str
) -> None:
    (problem,) = problems({"volumes": [{"name": "data", "emptyDir": {}}], "initContainers": [WARM | fields]})
    assert problem.startswith(f"spec.predictor.initContainers[0].{sentence}")


def test_pod_rules_accept_init_containers_that_kubernetes_accepts() -> None:
    sidecar: dict[str, Any] = {
        "name": "proxy",
        "restartPolicy": "Always",
        "ports": [{"name": "health", "containerPort": 15021}],
    }
    sidecar |= {"image": "example/proxy:1", "readinessProbe": {"httpGet": {"port": "health"}}}
    root: dict[str, Any] = {
        "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
        "resources": {"requests": {"memory": "0"}},
    }
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/mnt/models"}]}
    volumes = [{"name": "data", "emptyDir": {}}]
    assert problems({"volumes": volumes, "initContainers": [WARM | root | mounts, sidecar]}) == []


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ({"name": "gone"}, "name: 'gone' is not a volume"),
        ({"name": "data"}, "name: 'data' is no block device; it must be a volume with one of: persistentVolumeClaim"),
        ({"name": "claim", "devicePath": "/a"}, "devicePath: '/a' is given twice"),
        ({"name": "claim", "devicePath": "/dev/../a"}, "devicePath: a text of 9 characters is not allowed"),
    ],
    ids=str,
)
def test_pod_rules_refuse_block_device_without_a_claim_or_a_path_of_its_own(
    device: dict[str, Any], sentence: str
) -> None:
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}]
    mounts = [{"name": "data", "mountPath": "/a"}]
    (problem,) = problems({"volumes": volumes}, volumeMounts=mounts, volumeDevices=[{"devicePath": "/dev/a"} | device])
    assert problem.startswith(f"SERVER.volumeDevices[0].{sentence}")


@pytest.mark.parametrize(
    ("predictor", "sentence"),
    [
        ({"dnsConfig": {"nameservers": ["192.0.2.1"] * 4}}, "dnsConfig.nameservers: a list is not allowed"),
        ({"dnsConfig": {"nameservers": ["dns"]}}, "dnsConfig.nameservers[0]: a text of 3 characters is not allowed"),
        ({"dnsConfig": {"searches": ["a b"]}}, "dnsConfig.searches[0]: a text of 3 characters is not allowed"),
        ({"dnsConfig": {"options": [{"value": "1"}]}}, "dnsConfig.options[0].name: is missing"),
        (
            {"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["A_b"]}]},
            "hostAliases[0].hostnames[0]: a text of 3 characters is not allowed",
        ),
        ({"readinessGates": [{}]}, "readinessGates[0].conditionType: is missing"),
        ({"readinessGates": [{"conditionType": "a b"}]}, "readinessGates[0].conditionType: a text of 3 characters"),
        (
            {"securityContext": {"sysctls": [{"name": "a b", "value": "1"}]}},
            "securityContext.sysctls[0].name: a text of 3 characters",
        ),
    ],
    ids=str,
)
def test_pod_rules_refuse_network_settings_that_kubernetes_refuses(predictor: dict[str, Any], sentence: str) -> None:
    (problem,) = problems(predictor)
    assert problem.startswith(f"spec.predictor.{sentence}")


def test_pod_rules_leave_fields_of_newer_releases_to_the_api_server() -> None:
    assert problems({"volumes": [{"name": "a", "tomorrow": {"path": 1}}]}) == []
    assert problems(livenessProbe={"tomorrow": {"port": 1}}, envFrom=[{"tomorrowRef": {}}]) == []
