"""Faults with automatic recovery: a killed server or agent, a changed flag, a broken configuration, missing files."""

from __future__ import annotations

import json

from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import (
    answers,
    download,
    host,
    kill,
    model,
    pod_of,
    processes,
    upload,
    wait_not_ready,
    wait_ready,
)

SYSTEM = "manyserve-system"
SETTLED = (("tm", "a"), ("deployment", "mms-predictor-default"), ("service", "mms"), ("ingress", "mms"))


def test_killed_server_is_reported_and_its_models_return(cluster: DemoCluster, kubectl: Kubectl) -> None:
    kubectl.apply(host(), model("a"), model("b"))
    for name in ("a", "b"):
        wait_ready(kubectl, "tm", name)
    kill(pod_of(kubectl)["metadata"]["uid"], "tritonserver")
    wait_not_ready(kubectl, "tm", "a")
    for name in ("a", "b"):
        wait_ready(kubectl, "tm", name)
        assert eventually_sync(lambda name=name: answers(cluster, kubectl, name), f"{name} answers", 30)  # type: ignore[misc]


def test_killed_agent_returns_and_keeps_the_loaded_models(cluster: DemoCluster, kubectl: Kubectl) -> None:
    kubectl.apply(host(), model("a"))
    wait_ready(kubectl, "tm", "a")
    pod = pod_of(kubectl)
    uid = pod["metadata"]["uid"]
    before = processes(uid, "triton_python_backend_stub")
    kill(uid, "manyserve agent")

    def restarted() -> bool:
        statuses = {each["name"]: each for each in pod_of(kubectl)["status"]["containerStatuses"]}
        return bool(statuses["agent"]["restartCount"] == 1 and statuses["agent"]["ready"])

    eventually_sync(restarted, "the agent is back", 60)
    wait_ready(kubectl, "tm", "a")
    assert answers(cluster, kubectl, "a")
    assert processes(uid, "triton_python_backend_stub") == before, "the model was loaded again"
    kubectl("delete", "tm", "a")
    eventually_sync(lambda: not answers(cluster, kubectl, "a"), "the restarted agent unloads", 30)


def test_multi_model_flag_acts_at_once_both_ways_and_restarts_nothing(cluster: DemoCluster, kubectl: Kubectl) -> None:
    kubectl.apply(host(), model("a"))
    wait_ready(kubectl, "tm", "a")
    pod = pod_of(kubectl)["metadata"]["name"]
    system = Kubectl(cluster.env, SYSTEM)

    def flip(value: bool) -> None:
        predictors = json.loads(system.get("configmap", "inferenceservice-config")["data"]["predictors"])
        predictors["triton"]["multiModelServer"] = value
        patch = {"data": {"predictors": json.dumps(predictors)}}
        system("patch", "configmap", "inferenceservice-config", "--type=merge", "-p", json.dumps(patch))

    try:
        flip(False)
        off = wait_not_ready(kubectl, "tm", "a", "IsNotMMSPredictor", 20)
        assert "multi-model serving is off for triton" in off["message"]
        assert answers(cluster, kubectl, "a")
    finally:
        flip(True)
    wait_ready(kubectl, "tm", "a", 20)
    assert pod_of(kubectl)["metadata"]["name"] == pod


def test_broken_configuration_is_ignored_and_reported(cluster: DemoCluster, kubectl: Kubectl) -> None:
    system = Kubectl(cluster.env, SYSTEM)
    good = system.get("configmap", "inferenceservice-config")["data"]["ingress"]
    kubectl.apply(host())
    wait_ready(kubectl, "isvc", "mms")
    try:
        system("patch", "configmap", "inferenceservice-config", "--type=merge", "-p", '{"data":{"ingress":"{"}}')
        eventually_sync(lambda: "ingress is not JSON" in system("get", "events"), "an event reports the error", 20)
    finally:
        system(
            "patch",
            "configmap",
            "inferenceservice-config",
            "--type=merge",
            "-p",
            json.dumps({"data": {"ingress": good}}),
        )
    wait_ready(kubectl, "isvc", "mms")


def test_missing_files_are_reported_and_loaded_when_they_appear(cluster: DemoCluster, kubectl: Kubectl) -> None:
    path = f"late/{kubectl.namespace}"
    kubectl.apply(host(), model("late", uri=f"gs://kfserving-examples/{path}"))
    condition = wait_not_ready(kubectl, "tm", "late", "DownloadFailed", 120)
    assert f"gs://kfserving-examples/{path}" in condition["message"]
    wide = kubectl("get", "tm", "-o", "wide")
    assert "REASON" in wide
    assert condition["message"].split("(")[0].strip() in wide
    events = kubectl("get", "events", "--field-selector", "involvedObject.name=late")
    assert "DownloadFailed" in events
    assert "DownloadFailed" in kubectl("describe", "tm", "late").partition("Events:")[2]
    for name in ("config.pbtxt", "1/model.onnx"):
        data = download(cluster, "kfserving-examples", f"models/torchscript/cifar10/{name}")
        upload(cluster, "kfserving-examples", f"{path}/{name}", data.replace(b'name: "cifar10"', b'name: "late"'))
    wait_ready(kubectl, "tm", "late", 90)
    assert answers(cluster, kubectl, "late")


def test_restarted_operator_writes_nothing_for_settled_objects(cluster: DemoCluster, kubectl: Kubectl) -> None:
    kubectl.apply(host(), model("a"))
    wait_ready(kubectl, "tm", "a")
    before = {kind: kubectl.get(kind, name)["metadata"]["resourceVersion"] for kind, name in SETTLED}
    system = Kubectl(cluster.env, SYSTEM)
    system("rollout", "restart", "deployment/manyserve-operator")
    system("rollout", "status", "deployment/manyserve-operator", "--timeout=60s")
    kubectl.apply(model("b"))
    wait_ready(kubectl, "tm", "b")
    after = {kind: kubectl.get(kind, name)["metadata"]["resourceVersion"] for kind, name in SETTLED}
    assert after == before
