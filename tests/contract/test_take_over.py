"""Take-over of KServe's children of a host: it waits until the host's own Deployment is ready."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from manyserve.api import names
from manyserve.plan.management import DEPLOYMENT_MODE
from tests.contract.stage import HOST, Manifest, Stage, replanned
from tests.support import kserve_children as kserve
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import condition

POD = {"containers": [{"name": "kserve-container", "image": "example/tritonserver:1"}]}
PENDING = "Service triton-mms belongs to another controller until the Deployment is ready"
OTHER_PORTS = [
    {"name": "grpc", "port": 80, "targetPort": 8080, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"},
    {"name": "http", "port": 8081, "targetPort": 8081, "protocol": "TCP"},
]
WIDE = {"app": "isvc.triton-mms-predictor", names.HOST_LABEL: HOST}
Build = Callable[[Manifest], Manifest]
SERVICES: dict[str, Build] = {
    "other ports": partial(kserve.service, name=HOST, ports=OTHER_PORTS),
    "a wider selector": partial(kserve.service, name=HOST, selector=WIDE),
    "an alias": kserve.alias,
}


async def create_host(stage: Stage, *children: Build) -> Manifest:
    """Create a host of KServe with a placed model and these children; no new pod starts."""
    stage.kubelet.starts.clear()
    stage.kubectl.apply(kserve.kept_by_kserve(make.host_object()), kserve.kept_model(make.model_object()))
    host = stage.kubectl.get("isvc", HOST)
    manifests = [build(host) for build in children]
    await asyncio.to_thread(stage.kubectl.apply, *manifests, kserve.model_config(host, make.model_object()))
    return host


def hand_over(stage: Stage) -> None:
    """Remove KServe's marks, as docs/migrating-from-kserve.md describes."""
    patch = {"metadata": {"finalizers": None, "annotations": {DEPLOYMENT_MODE: None}}}
    for thing in (f"isvc/{HOST}", "tm/cifar10"):
        stage.kubectl("patch", thing, "--type=merge", "-p", json.dumps(patch))


def versions(stage: Stage, *things: str) -> list[str]:
    return [stage.kubectl.get(*each.split("/"))["metadata"]["resourceVersion"] for each in things]


def message(stage: Stage, kind: str = "Ready") -> str:
    return str(condition(stage.kubectl.get("isvc", HOST), kind).get("message", ""))


def ports_of(service: Manifest) -> Sequence[tuple[str, int, str]]:
    return [(each["name"], each["port"], each["targetPort"]) for each in service["spec"]["ports"]]


@pytest.mark.parametrize("form", SERVICES)
async def test_take_over_of_service_and_ingress_waits_for_the_ready_deployment(stage: Stage, form: str) -> None:
    hostnames = [f"{name}.{stage.kubectl.namespace}.example.com" for name in (HOST, f"{HOST}-predictor")]
    await create_host(stage, SERVICES[form], lambda host: kserve.ingress(host, *hostnames))
    before = versions(stage, f"service/{HOST}", f"ingress/{HOST}")
    hand_over(stage)
    await eventually_in_thread(lambda: PENDING in message(stage), "the host reports the wait")
    assert "Ingress triton-mms belongs to another controller" in message(stage, "IngressReady")
    await replanned(stage.operator)
    assert versions(stage, f"service/{HOST}", f"ingress/{HOST}") == before, (
        "nothing is written while pods are not ready"
    )
    assert stage.placed() == ["cifar10"], "the pods of KServe, and ours, have the models that were placed"

    stage.kubelet.starts.set()
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "its model is ready")
    service = stage.kubectl.get("service", HOST)
    assert service["spec"]["selector"] == names.selector(HOST)
    assert ports_of(service) == [("http", 80, "http"), ("grpc", names.GRPC_PORT, "grpc")]
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["clusterIP"] not in ("", "None")
    assert "externalName" not in service["spec"]
    (rule,) = stage.kubectl.get("ingress", HOST)["spec"]["rules"]
    assert rule["host"] == hostnames[0]
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == HOST


async def test_take_over_leaves_a_headless_service_and_names_the_command(stage: Stage) -> None:
    await create_host(stage, partial(kserve.service, name=HOST, clusterIP="None"))
    before = versions(stage, f"service/{HOST}")
    stage.kubelet.starts.set()
    hand_over(stage)
    await eventually_in_thread(lambda: "headless" in message(stage), "the host reports the headless Service")
    command = f"delete service {HOST}"
    assert f"kubectl {command}" in message(stage)
    assert versions(stage, f"service/{HOST}") == before
    stage.kubectl(*command.split())
    stage.operator._state.enqueue_all()
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "its own Service is made")


async def test_take_over_replaces_a_deployment_of_the_name_and_keeps_its_pods(stage: Stage) -> None:
    name = names.deployment(HOST)
    await create_host(stage, partial(kserve.deployment, pod_spec=POD, name=name), partial(kserve.autoscaler, name=name))
    stage.kubelet.starts.set()
    old = {"app": f"isvc.{name}"}
    await eventually_in_thread(
        lambda: [each for each in pods(stage, old) if condition(each).get("status") == "True"], "its pod runs"
    )
    hand_over(stage)
    await eventually_in_thread(lambda: "another selector" in message(stage), "the host says what is in the way")
    command = f"delete deployment {name} --cascade=orphan"
    assert f"kubectl {command}" in message(stage)

    stage.kubectl(*command.split())
    stage.operator._state.enqueue_all()
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    assert stage.kubectl.get("deployment", name)["spec"]["selector"]["matchLabels"] == names.selector(HOST)
    (pod,) = pods(stage, old)
    assert "deletionTimestamp" not in pod["metadata"]
    stage.kubectl("delete", "replicaset", "-l", f"app={old['app']}")
    await eventually_in_thread(lambda: not pods(stage, old), "the old pods go with their ReplicaSet")
    assert stage.ready("isvc", HOST).get("status") == "True"


def pods(stage: Stage, labels: dict[str, str]) -> list[Manifest]:
    return stage.kubectl.list("pod", "-l", ",".join(f"{key}={each}" for key, each in labels.items()))
