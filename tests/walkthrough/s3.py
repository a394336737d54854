"""A store that speaks S3 in the namespace of a test, and hosts that read from it with a ServiceAccount's keys.

A proxy beside it can limit the rate at which clients get bytes.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.support.kubectl import Kubectl, Manifest
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import host

KEYS = {"AWS_ACCESS_KEY_ID": "manyserve", "AWS_SECRET_ACCESS_KEY": "first-secret"}
_FOLDER = Path(__file__).parent


def start_store(cluster: DemoCluster, kubectl: Kubectl) -> None:
    """Start the store, which is empty."""
    cluster.load("versitygw")
    kubectl("apply", "-f", str(_FOLDER / "s3.yaml"))
    kubectl("rollout", "status", "deployment/s3", "--timeout=60s")


def fill(kubectl: Kubectl, files: Path, name: str = "cifar10") -> None:
    """Copy a folder into the bucket `models`. A restart of the store empties it."""
    (pod,) = (
        each["metadata"]["name"]
        for each in kubectl.list("pod", "-l", "app=s3")
        if "deletionTimestamp" not in each["metadata"]
    )
    kubectl("exec", pod, "--", "mkdir", "-p", "/data/models")
    kubectl("cp", str(files), f"{pod}:/data/models/{name}")


def start_proxy(kubectl: Kubectl, rate: int) -> None:
    """Start the proxy `slow-s3` before the store. Each connection gets `rate` bytes a second."""
    service, deployment = yaml.safe_load_all((_FOLDER / "slow_s3.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["args"] = ["-c", (_FOLDER / "slow_proxy.py").read_text(), str(rate)]
    kubectl.apply(service, deployment)
    kubectl("rollout", "status", "deployment/slow-s3", "--timeout=60s")


def secret(keys: dict[str, str]) -> Manifest:
    """Return the secret of the keys."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-keys"}, "stringData": keys}


def account(namespace: str, service: str = "s3") -> Manifest:
    """Return the ServiceAccount `models`, with the address of the store and the secret of its keys."""
    annotations = {
        "serving.kserve.io/s3-endpoint": f"{service}.{namespace}.svc.cluster.local",
        "serving.kserve.io/s3-usehttps": "0",
        "serving.kserve.io/s3-region": "us-east-1",
    }
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "models", "annotations": annotations},
        "secrets": [{"name": "s3-keys"}],
    }


def host_with_account() -> Manifest:
    """Return a host with pods that run with the ServiceAccount."""
    manifest = host()
    manifest["spec"]["predictor"]["serviceAccountName"] = "models"
    return manifest
