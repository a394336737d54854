"""Figures of the walkthrough: the time from apply to Ready, and the memory of the programs.

The stages of a model's time come from the test's clock and from the agent's log. Both run on this machine, so they show
the same time.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

import pytest
import yaml

from tests.support.eventually import eventually_sync
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl, condition
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.conftest import ROOT, namespace
from tests.walkthrough.things import host, model, pod_of, resident, wait_ready

MODELS = 9
MANY = 25
START_SYNC = 15  # seconds; the kubelet also syncs a pod for other reasons, several times at its start
CHANGES = 4  # of a ConfigMap, until one of them took longer than START_SYNC


@pytest.fixture(scope="module")
def kubelet_seconds(cluster: DemoCluster) -> Iterator[Future[float]]:
    """Measure, in the background, the seconds until the kubelet by itself updates a ConfigMap in a pod.

    A model reaches KServe's agent in this way: the pod is not touched, and the kubelet syncs once a minute.
    """
    with namespace(cluster) as kubectl, ThreadPoolExecutor(1) as pool:
        yield pool.submit(_remount, kubectl)


def _remount(kubectl: Kubectl) -> float:
    kubectl("create", "configmap", "page", "--from-literal=text=old")
    pod = next(yaml.safe_load_all((ROOT / "deploy" / "local" / "manifests" / "client.yaml").read_text()))
    pod["metadata"].pop("namespace", None)
    pod["spec"]["volumes"] = [*pod["spec"].get("volumes", []), {"name": "page", "configMap": {"name": "page"}}]
    mounts = pod["spec"]["containers"][0].setdefault("volumeMounts", [])
    mounts.append({"name": "page", "mountPath": "/page"})
    kubectl.apply(pod)
    name = pod["metadata"]["name"]
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    seconds = 0.0
    for number in range(CHANGES):
        if seconds < START_SYNC:
            seconds = _until_seen(kubectl, name, f"text {number}")
    return seconds


def _until_seen(kubectl: Kubectl, pod: str, text: str) -> float:
    """Change the ConfigMap, and return the seconds until its new content is in the pod."""
    kubectl("patch", "configmap", "page", "--type=merge", "-p", json.dumps({"data": {"text": text}}))
    start = time.monotonic()
    eventually_sync(lambda: text in kubectl("exec", pod, "--", "cat", "/page/text"), "the file changes", 150, pause=0.5)
    return time.monotonic() - start


def agent_times(kubectl: Kubectl, pod: str) -> dict[str, float]:
    """Return the time of each log message of the agent, by message."""
    lines = kubectl("logs", pod, "-c", "agent").splitlines()
    entries = (json.loads(line) for line in lines if line.startswith("{"))
    return {entry["msg"]: datetime.fromisoformat(entry["ts"]).timestamp() for entry in entries}


def first(times: dict[str, float], *words: str) -> float:
    return min(when for message, when in times.items() if all(word in message for word in words))


def test_new_model_takes_less_than_a_second_for_config_and_status(
    kubectl: Kubectl, figures: Figures, kubelet_seconds: Future[float]
) -> None:
    kubectl.apply(host(memory="2Gi"))
    wait_ready(kubectl, "isvc", "mms")
    pod = pod_of(kubectl)["metadata"]["name"]
    splits: list[tuple[float, float, float, float, float]] = []
    for number in range(MODELS):
        name = f"m{number}"
        start = time.time()
        kubectl.apply(model(name))
        applied = time.time()
        eventually_sync(
            lambda name=name: condition(kubectl.get("tm", name)).get("status") == "True",  # type: ignore[misc]
            f"{name} is Ready",
            60,
            pause=0.02,
        )
        ready = time.time()
        times = agent_times(kubectl, pod)
        added = first(times, f"adding model {name}")
        arrived = first(times, "SUCCESS", f"{name}.")
        loaded = first(times, f"loaded model {name}")
        splits.append((added - applied, arrived - added, loaded - arrived, ready - loaded, ready - start))
    config, fetched, load, status, whole = (statistics.median(each) for each in zip(*splits, strict=True))
    peer = kubelet_seconds.result(timeout=280)
    figures.take("apply to models.json in the pod, median", config, "s", peer=f"the kubelet by itself: {peer:.0f} s")
    figures.take("download, median", fetched, "s")
    figures.take("load, median", load, "s")
    figures.take("loaded to Ready, median", status, "s")
    figures.take("apply to Ready, whole, median", whole, "s")
    figures.take("config and status together, median", config + status, "s", below=1)
    assert config + status < peer / 10


def test_new_host_with_many_models_loads_all_of_them(kubectl: Kubectl, figures: Figures) -> None:
    kubectl.apply(host(memory="4Gi"), *(model(f"m{number}") for number in range(MANY)))
    wait_ready(kubectl, "isvc", "mms")
    start = time.monotonic()
    eventually_sync(lambda: _ready_models(kubectl) == MANY, f"{MANY} models are Ready", 200)
    times = agent_times(kubectl, pod_of(kubectl)["metadata"]["name"])
    loads = sorted(when for message, when in times.items() if message.startswith("Successfully loaded model"))
    assert len(loads) == MANY
    rate = (MANY - 1) / (loads[-1] - loads[0])
    figures.take(f"models a second, {MANY} at once on the real server", rate, "1/s", peer="two loads at once")
    figures.take("all Ready after the host was", time.monotonic() - start, "s")


def _ready_models(kubectl: Kubectl) -> int:
    return sum(condition(each).get("status") == "True" for each in kubectl.list("tm"))


def test_images_and_containers_stay_small(cluster: DemoCluster, kubectl: Kubectl, figures: Figures) -> None:
    kubectl.apply(host(), model("a"))
    wait_ready(kubectl, "tm", "a")
    system = Kubectl(cluster.env, "manyserve-system")
    pods = system.list("pod")
    operator = [each for each in pods if "operator" in each["metadata"]["name"]]
    webhook = [each for each in pods if "webhook" in each["metadata"]["name"]]
    sizes = {
        "operator": (max(resident(each["metadata"]["uid"], "manyserve") for each in operator), 120),
        "webhook": (max(resident(each["metadata"]["uid"], "manyserve") for each in webhook), 100),
        "agent": (resident(pod_of(kubectl)["metadata"]["uid"], "manyserve agent"), 80),
    }
    for part, (size, goal) in sizes.items():
        figures.take(f"resident memory of the {part}", size, "MB", below=goal)
    assert all(size < goal for size, goal in sizes.values())
