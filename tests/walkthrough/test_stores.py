"""Models in an S3 store with keys, and on claims, on the real cluster.

As in KServe, a ServiceAccount lists the secret with the keys and has annotations with the store's address. The operator
mounts the secret without reading it, and the agent reads the keys. After a change the kubelet updates them in the
running pod.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Manifest
from tests.walkthrough import s3
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import CIFAR, answers, download, host, model, pod_of, wait_not_ready, wait_ready

BUCKET = "kfserving-examples"
FILES = ("config.pbtxt", "1/model.onnx")


@pytest.fixture
def files(cluster: DemoCluster, tmp_path: Path) -> Path:
    """Return a folder with the files of cifar10."""
    for name in FILES:
        path = tmp_path / "cifar10" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(download(cluster, BUCKET, f"{CIFAR.removeprefix(f'gs://{BUCKET}/')}/{name}"))
    return tmp_path / "cifar10"


def test_s3_model_is_read_with_the_account_keys_and_with_new_keys_in_the_same_pod(
    cluster: DemoCluster, kubectl: Kubectl, files: Path
) -> None:
    s3.start_store(cluster, kubectl)
    s3.fill(kubectl, files)
    account = s3.account(kubectl.namespace)
    kubectl.apply(s3.secret(s3.KEYS), account, s3.host_with_account(), model(uri="s3://models/cifar10"))
    wait_ready(kubectl, "tm", "m")
    assert answers(cluster, kubectl, "m")
    pod = pod_of(kubectl)["metadata"]["uid"]

    kubectl("set", "env", "deployment/s3", "ROOT_SECRET_KEY=second-secret")
    kubectl("rollout", "status", "deployment/s3", "--timeout=60s")
    s3.fill(kubectl, files)
    kubectl.apply(model("other", uri="s3://models/cifar10/"))
    condition = wait_not_ready(kubectl, "tm", "other", "DownloadFailed")
    assert "may not be read" in condition["message"]
    assert "secret" not in condition["message"].lower()

    kubectl.apply(s3.secret(s3.KEYS | {"AWS_SECRET_ACCESS_KEY": "second-secret"}))
    wait_ready(kubectl, "tm", "other", 200)
    assert pod_of(kubectl)["metadata"]["uid"] == pod
    assert answers(cluster, kubectl, "m")


def test_claim_model_is_read_and_a_missing_claim_is_named(
    cluster: DemoCluster, kubectl: Kubectl, files: Path, tmp_path: Path
) -> None:
    kubectl.apply(host(), model("m", uri="pvc://nobodys/cifar10"), model("other"))
    wait_ready(kubectl, "tm", "other")
    assert "nobodys" in wait_not_ready(kubectl, "tm", "m")["message"]
    claim = Path("/tmp") / kubectl.namespace
    shutil.copytree(files, claim / "cifar10")
    try:
        kubectl.apply(*_claim(kubectl.namespace, claim), model("m", uri="pvc://models/cifar10"))
        wait_ready(kubectl, "tm", "m", 200)
        assert answers(cluster, kubectl, "m")
        assert answers(cluster, kubectl, "other")
    finally:
        kubectl("delete", "isvc", "mms", "--wait=false")
        eventually_sync(lambda: not kubectl.list("pod"), "the pods are gone", 90)
        shutil.rmtree(claim)


def _claim(namespace: str, folder: Path) -> tuple[Manifest, Manifest]:
    """Return the volume for a folder of the node, and its claim."""
    size = {"storage": "1Gi"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": namespace},
        "spec": {
            "capacity": size,
            "accessModes": ["ReadOnlyMany"],
            "hostPath": {"path": str(folder)},
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": "models"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "resources": {"requests": size},
            "storageClassName": "",
            "volumeName": namespace,
        },
    }
    return volume, claim
