"""Roll-outs under requests, and hosts with a failing edit or an autoscaler of the user's.

The figures are in `reports/field.json`. `FIELD=long` has the long forms: more restarts, and a load of minutes.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from manyserve.api import names
from tests.support.eventually import eventually_sync
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl, Manifest, condition
from tests.walkthrough import s3
from tests.walkthrough.attack import RATE, gateway_attack, lost, service_attack
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.conftest import FIELD_LONG
from tests.walkthrough.python_models import TENSOR, model_files, upload_model
from tests.walkthrough.test_figures import agent_times, first
from tests.walkthrough.things import answers, host, model, pod_of, wait_ready

DEPLOYMENT = names.deployment("mms")
RESTARTS = 20 if FIELD_LONG else 2
REPLICAS = (1, 2) if FIELD_LONG else (1,)
SLOW_SECONDS = 360 if FIELD_LONG else 15
"""Seconds of a load or a download."""
SLOW_RATE = 16384
"""Bytes a second of a download."""
SLOW_RESTARTS = 2 if FIELD_LONG else 1
PULL_ERRORS = ("ErrImagePull", "ImagePullBackOff")


@pytest.mark.parametrize("replicas", REPLICAS)
def test_restart_loses_no_request_at_the_gateway_or_in_the_cluster(
    cluster: DemoCluster, kubectl: Kubectl, field: Figures, tmp_path: Path, replicas: int
) -> None:
    uri = upload_model(cluster, kubectl, "a")
    kubectl.apply(_host(minReplicas=replicas), model("a", uri=uri, framework="python"))
    eventually_sync(lambda: kubectl.get("tm", "a").get("status", {}).get("loaded") == f"{replicas}/{replicas}", "", 120)
    wait_ready(kubectl, "tm", "a")
    with (
        gateway_attack(cluster, kubectl, "a", TENSOR, tmp_path) as outside,
        service_attack(kubectl, "a", TENSOR) as inside,
    ):
        for _ in range(RESTARTS):
            _restart(kubectl, replicas, 120)
    for way, report in (("gateway", outside), ("Service", inside)):
        peer = f"{RESTARTS} restarts, {report['requests']} requests at {RATE}/s"
        field.take(f"restarts, replicas: {replicas}: lost requests, {way}", lost(report), "", exactly=0, peer=peer)
    assert (lost(outside), outside["errors"]) == (0, [])
    assert (lost(inside), inside["errors"]) == (0, [])
    assert inside["requests"] > 3 * RATE, "the attack was too short"


def test_rollout_waits_for_a_model_with_a_slow_load(
    cluster: DemoCluster, kubectl: Kubectl, field: Figures, tmp_path: Path
) -> None:
    uri = upload_model(cluster, kubectl, "slow", f"import time; time.sleep({SLOW_SECONDS})")
    kubectl.apply(host(), model("slow", uri=uri, framework="python"))
    wait_ready(kubectl, "tm", "slow", SLOW_SECONDS + 120)
    _restart_with_slow_model(cluster, kubectl, field, tmp_path, "load")


def test_rollout_waits_for_a_model_with_a_slow_download(
    cluster: DemoCluster, kubectl: Kubectl, field: Figures, tmp_path: Path
) -> None:
    s3.start_store(cluster, kubectl)
    for name, text in model_files().items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "model" / "1" / "weights").write_bytes(bytes(SLOW_RATE * SLOW_SECONDS))
    s3.fill(kubectl, tmp_path / "model", "slow")
    s3.start_proxy(kubectl, SLOW_RATE)
    kubectl.apply(s3.secret(s3.KEYS), s3.account(kubectl.namespace, "slow-s3"), s3.host_with_account())
    kubectl.apply(model("slow", uri="s3://models/slow", framework="python"))
    wait_ready(kubectl, "tm", "slow", SLOW_SECONDS + 180)
    _restart_with_slow_model(cluster, kubectl, field, tmp_path, "download")


def _restart_with_slow_model(cluster: DemoCluster, kubectl: Kubectl, field: Figures, folder: Path, slow: str) -> None:
    """Restart the host under requests to the model `slow`, and judge the requests."""
    with gateway_attack(cluster, kubectl, "slow", TENSOR, folder) as report:
        for _ in range(SLOW_RESTARTS):
            _restart(kubectl, 1, SLOW_SECONDS + 180)
    pod = pod_of(kubectl)
    loaded = first(agent_times(kubectl, pod["metadata"]["name"]), "Successfully loaded model slow")
    assert datetime.fromisoformat(condition(pod)["lastTransitionTime"]).timestamp() + 1 > loaded
    peer = f"{SLOW_RESTARTS} restarts, a {slow} of {SLOW_SECONDS} s, {report['requests']} requests at {RATE}/s"
    field.take(f"restarts of a host with a slow {slow}: lost requests", lost(report), "", exactly=0, peer=peer)
    assert (lost(report), report["errors"]) == (0, [])
    assert report["duration"] > SLOW_RESTARTS * SLOW_SECONDS * 1e9


def test_host_with_an_unknown_image_version_answers_and_names_the_pull_error(
    cluster: DemoCluster, kubectl: Kubectl, field: Figures
) -> None:
    kubectl.apply(host(), model("a"))
    wait_ready(kubectl, "tm", "a")
    patch = {"spec": {"predictor": {"triton": {"runtimeVersion": "24.99-py3"}}}}
    kubectl("patch", "isvc", "mms", "--type=merge", "-p", json.dumps(patch))
    eventually_sync(lambda: _waiting(kubectl) & set(PULL_ERRORS), "the kubelet reports the error of the pull", 120)
    began = time.monotonic()
    row = eventually_sync(lambda: _row_with_pull_error(kubectl), "the host names the error", 60)
    seconds = time.monotonic() - began
    field.take("unknown image version: the host names the pod's reason after", seconds, "s", below=10)
    assert seconds < 10
    assert "answers with the previous revision; pod mms-predictor-default-" in row
    assert condition(kubectl.get("isvc", "mms"))["status"] == "True"
    assert condition(kubectl.get("tm", "a"))["status"] == "True"
    assert answers(cluster, kubectl, "a")


def test_external_autoscaler_keeps_its_replicas_over_plans(kubectl: Kubectl, field: Figures) -> None:
    manifest = host()
    manifest["metadata"]["annotations"] = {"serving.kserve.io/autoscalerClass": "external"}
    kubectl.apply(manifest, model("a"))
    wait_ready(kubectl, "tm", "a")
    before = set(_pods(kubectl))
    kubectl.apply(_autoscaler(least=2))
    eventually_sync(
        lambda: kubectl.get("isvc", "mms")["status"].get("models") == "1/1" and len(_ready_pods(kubectl)) == 2,
        "2 pods",
        120,
    )
    generation = kubectl.get("deployment", DEPLOYMENT)["metadata"]["generation"]
    for number in range(3):
        kubectl.apply(model(f"m{number}"))
        eventually_sync(lambda n=number: kubectl.get("tm", f"m{n}").get("status", {}).get("loaded") == "2/2", "", 60)  # type: ignore[misc]
    deployment = kubectl.get("deployment", DEPLOYMENT)
    changes = deployment["metadata"]["generation"] - generation
    field.take("writes to the Deployment of an external autoscaler, 3 plans", changes, "", exactly=0)
    assert (deployment["spec"]["replicas"], changes) == (2, 0)
    assert before < set(_pods(kubectl))


def _host(**predictor: int) -> Manifest:
    manifest = host()
    manifest["spec"]["predictor"] |= predictor
    return manifest


def _restart(kubectl: Kubectl, replicas: int, limit: int) -> None:
    """Restart the pods of the host, and wait until the old ones are gone."""
    old = set(_pods(kubectl))
    kubectl("rollout", "restart", f"deployment/{DEPLOYMENT}")
    eventually_sync(
        lambda: len(_ready_pods(kubectl)) == replicas and not old & set(_pods(kubectl)), "all pods are new", limit, 0.5
    )


def _pods(kubectl: Kubectl) -> list[str]:
    pods = kubectl.list("pod", "-l", "serving.kserve.io/inferenceservice=mms")
    return [each["metadata"]["name"] for each in pods]


def _ready_pods(kubectl: Kubectl) -> list[Manifest]:
    pods = kubectl.list("pod", "-l", "serving.kserve.io/inferenceservice=mms")
    return [each for each in pods if condition(each).get("status") == "True"]


def _waiting(kubectl: Kubectl) -> set[str]:
    """Return the reasons of all waiting containers."""
    pods = kubectl.list("pod", "-l", "serving.kserve.io/inferenceservice=mms")
    statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
    return {status["state"]["waiting"]["reason"] for status in statuses if "waiting" in status["state"]}


def _row_with_pull_error(kubectl: Kubectl) -> str:
    """Return the host's row in the output of kubectl if it names the error."""
    reason = condition(kubectl.get("isvc", "mms"), "PredictorReady").get("reason", "")
    row = kubectl("get", "isvc", "mms", "-o", "wide", "--no-headers")
    return row if reason in PULL_ERRORS and "previous revision" in row else ""


def _autoscaler(*, least: int) -> Manifest:
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": DEPLOYMENT}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "own"},
        "spec": {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": 4, "metrics": [cpu]},
    }
