"""Hosts, models and processes of the walkthrough's tests, small enough for many on one machine."""

from __future__ import annotations

import os
import signal
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path

from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Manifest, condition
from tests.walkthrough.cluster import DemoCluster

CIFAR = "gs://kfserving-examples/models/torchscript/cifar10"
STRING = "gs://kfserving-examples/models/tensorrt/simple_string"


def host(name: str = "mms", *, memory: str = "1Gi") -> Manifest:
    """Return a host with small resource requests."""
    resources = {"limits": {"cpu": "1", "memory": memory}, "requests": {"cpu": "50m", "memory": "64Mi"}}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": {"triton": {"resources": resources}}},
    }


def model(
    name: str = "m", *, on: str = "mms", memory: str = "100Mi", uri: str = CIFAR, framework: str = "pytorch"
) -> Manifest:
    """Return a model."""
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "TrainedModel",
        "metadata": {"name": name},
        "spec": {"inferenceService": on, "model": {"framework": framework, "storageUri": uri, "memory": memory}},
    }


def wait_ready(kubectl: Kubectl, kind: str, name: str, limit: int = 120) -> Manifest:
    """Wait until the object is Ready, and return it."""
    eventually_sync(
        lambda: condition(kubectl.get(kind, name)).get("status") == "True", f"{kind}/{name} is Ready", limit
    )
    return kubectl.get(kind, name)


def wait_not_ready(kubectl: Kubectl, kind: str, name: str, reason: str = "", limit: int = 60) -> Manifest:
    """Wait until the object is not Ready (for this reason), and return the condition."""

    def not_ready() -> Manifest | None:
        ready = condition(kubectl.get(kind, name))
        return ready if ready.get("status") == "False" and reason in ("", ready.get("reason")) else None

    return eventually_sync(not_ready, f"{kind}/{name} is not Ready {reason}", limit) or {}


def pod_of(kubectl: Kubectl, name: str = "mms") -> Manifest:
    """Return the one pod of a host."""
    (pod,) = kubectl.list("pod", "-l", f"serving.kserve.io/inferenceservice={name}")
    return pod


def processes(pod_uid: str, program: str) -> list[int]:
    """Return the processes of a pod, on this machine, with the program's name in their command line."""
    pids = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            groups = (folder / "cgroup").read_text()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"pod{pod_uid}" in groups and program in command:
            pids.append(int(folder.name))
    return pids


def kill(pod_uid: str, program: str) -> None:
    """Kill a program of a pod with SIGKILL."""
    pids = processes(pod_uid, program)
    assert pids, f"no {program} in pod {pod_uid}"
    for pid in pids:
        with suppress(ProcessLookupError):  # the end of the container's first process ends the others
            os.kill(pid, signal.SIGKILL)


def resident(pod_uid: str, program: str) -> float:
    """Return the resident memory of a pod's program, in MB."""
    kilobytes = 0
    for pid in processes(pod_uid, program):
        status = Path(f"/proc/{pid}/status").read_text()
        kilobytes += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return kilobytes / 1000


def answers(cluster: DemoCluster, kubectl: Kubectl, name: str, on: str = "mms") -> bool:
    """Return whether a model answers a client through the gateway."""
    request = urllib.request.Request(
        f"{cluster.gateway}/v2/models/{name}/ready", headers={"Host": f"{on}.{kubectl.namespace}.example.com"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def upload(cluster: DemoCluster, bucket: str, name: str, data: bytes) -> None:
    """Put an object into the object store."""
    query = urllib.parse.urlencode({"uploadType": "media", "name": name})
    request = urllib.request.Request(
        f"{cluster.gateway}/upload/storage/v1/b/{bucket}/o?{query}",
        data=data,
        headers={"Host": "gcs.example.com", "Content-Type": "application/octet-stream"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def download(cluster: DemoCluster, bucket: str, name: str) -> bytes:
    """Get an object from the object store."""
    path = f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media"
    request = urllib.request.Request(f"{cluster.gateway}{path}", headers={"Host": "gcs.example.com"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())
