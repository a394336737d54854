"""Updates under load: a model gets requests while its files are swapped twenty times.

Two models on one host get 50 requests a second each, from vegeta, through the gateway. One of them gets a new version
again and again. Each version has its number in its configuration, so the server reports the version that it serves. No
request to the swapped model or to its neighbour may fail in 20 swaps.
"""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

from tests.support.eventually import eventually_sync
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl
from tests.walkthrough.attack import RATE, Report, gateway_attack
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import (
    CIFAR,
    answers,
    download,
    host,
    kill,
    model,
    pod_of,
    upload,
    wait_not_ready,
    wait_ready,
)

SWAPS = 20
BUCKET = "kfserving-examples"
TENSOR = {"name": "INPUT__0", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": [0.5] * 3072}


def test_twenty_swaps_under_load_lose_no_answer_of_the_model_or_its_neighbour(
    cluster: DemoCluster, kubectl: Kubectl, figures: Figures, tmp_path: Path
) -> None:
    uris = [_version(cluster, kubectl, number) for number in range(SWAPS + 1)]
    kubectl.apply(host(), model("a", uri=uris[0]), model("b"))
    for name in ("a", "b"):
        wait_ready(kubectl, "tm", name)
    with (
        gateway_attack(cluster, kubectl, "a", TENSOR, tmp_path) as swapped,
        gateway_attack(cluster, kubectl, "b", TENSOR, tmp_path) as neighbour,
    ):
        start = time.monotonic()
        for number, uri in enumerate(uris[1:], 1):
            kubectl.apply(model("a", uri=uri))
            eventually_sync(lambda n=number: _served(cluster, kubectl) == n, f"version {number} is served", 60)  # type: ignore[misc]
        seconds = time.monotonic() - start
    wait_ready(kubectl, "tm", "a")
    figures.take("swap_seconds: from apply to the new version, mean of 20", seconds / SWAPS, "s")
    for name, report in (("swapped", swapped), ("neighbour", neighbour)):
        _judge(figures, name, report)
    log = kubectl("logs", pod_of(kubectl)["metadata"]["name"], "-c", "agent")
    assert log.count("Successfully loaded model a") == SWAPS + 1
    assert log.count("Successfully loaded model b") == 1


def test_refused_version_keeps_the_previous_one_serving_also_after_a_server_restart(
    cluster: DemoCluster, kubectl: Kubectl, figures: Figures, tmp_path: Path
) -> None:
    good, bad = _version(cluster, kubectl, 1), _version(cluster, kubectl, 2, weights=b"no model at all")
    kubectl.apply(host(), model("a", uri=good))
    wait_ready(kubectl, "tm", "a")
    with gateway_attack(cluster, kubectl, "a", TENSOR, tmp_path) as asked:
        kubectl.apply(model("a", uri=bad))
        condition = wait_not_ready(kubectl, "tm", "a", "LoadFailed")
        eventually_sync(lambda: kubectl.get("tm", "a")["status"]["lastFailure"]["attempt"] > 2, "it is tried again", 60)
    assert "the previous version still answers" in condition["message"]
    assert "still answers" in kubectl("get", "tm", "-o", "wide")
    _judge(figures, "refused", asked)
    assert _served(cluster, kubectl) == 1

    kill(pod_of(kubectl)["metadata"]["uid"], "tritonserver")
    eventually_sync(lambda: not answers(cluster, kubectl, "a"), "the server is gone", 30)
    eventually_sync(lambda: answers(cluster, kubectl, "a"), "the previous version answers again", 90)
    assert _served(cluster, kubectl) == 1
    kubectl.apply(model("a", uri=_version(cluster, kubectl, 3)))
    wait_ready(kubectl, "tm", "a")
    assert _served(cluster, kubectl) == 3


def _judge(figures: Figures, model: str, report: Report) -> None:
    """Record the figures of one attack, and assert that no request failed."""
    asked = report["requests"]
    peer = f"{asked} requests at {RATE}/s, p99 {report['latencies']['99th'] / 1e6:.0f} ms"
    figures.take(
        f"swap_success_{model}: answered while versions came", 100 * report["success"], "%", exactly=100, peer=peer
    )
    assert report["success"] == 1, report["errors"]
    assert asked > 3 * RATE, "the attack was too short"


def _version(cluster: DemoCluster, kubectl: Kubectl, number: int, weights: bytes | None = None) -> str:
    """Upload a version of the cifar10 model with its number in the configuration, and return its URI."""
    source, path = CIFAR.removeprefix(f"gs://{BUCKET}/"), f"swaps/{kubectl.namespace}/{number}"
    for name in ("config.pbtxt", "1/model.onnx"):
        data = download(cluster, BUCKET, f"{source}/{name}")
        if name == "config.pbtxt":
            mark = f'\nparameters {{ key: "number" value {{ string_value: "{number}" }} }}\n'
            data = data.replace(b'name: "cifar10"', b'name: "a"') + mark.encode()
        elif weights is not None:
            data = weights
        upload(cluster, BUCKET, f"{path}/{name}", data)
    return f"gs://{BUCKET}/{path}"


def _served(cluster: DemoCluster, kubectl: Kubectl) -> int:
    """Return the number of the version that the server reports."""
    headers = {"Host": f"mms.{kubectl.namespace}.example.com"}
    request = urllib.request.Request(f"{cluster.gateway}/v2/models/a/config", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return int(json.load(answer)["parameters"]["number"]["string_value"])
