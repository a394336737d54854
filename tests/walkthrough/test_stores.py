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
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import CIFAR, answers, download, host, model, pod_of, wait_not_ready, wait_ready

BUCKET = "kfserving-examples"
FILES = ("config.pbtxt", "1/model.onnx")
S3 = Path(__file__).with_name("s3.yaml")
SECRET = {"AWS_ACCESS_KEY_ID": "manyserve", "AWS_SECRET_ACCESS_KEY": "first-secret"}


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
    _store(cluster, kubectl, files)
    kubectl.apply(_secret(SECRET), _account(kubectl.namespace), _host_with_account(), model(uri="s3://models/cifar10"))
    wait_ready(kubectl, "tm", "m")
    assert answers(cluster, kubectl, "m")
    pod = pod_of(kubectl)["metadata"]["uid"]

    kubectl("set", "env", "deployment/s3", "ROOT_SECRET_KEY=second-secret")
    kubectl("rollout", "status", "deployment/s3", "--timeout=60s")
    _fill(kubectl, files)
    kubectl.apply(model("other", uri="s3://models/cifar10/"))
    condition = wait_not_ready(kubectl, "tm", "other", "DownloadFailed")
    assert "may not be read" in condition["message"]
    assert "secret" not in condition["message"].lower()

    kubectl.apply(_secret(SECRET | {"AWS_SECRET_ACCESS_KEY": "second-secret"}))
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


def _store(cluster: DemoCluster, kubectl: Kubectl, files: Path) -> None:
    cluster.load("versitygw")
    kubectl("apply", "-f", str(S3))
    kubectl("rollout", "status", "deployment/s3", "--timeout=60s")
    _fill(kubectl, files)


def _fill(kubectl: Kubectl, files: Path) -> None:
    """Copy the model into the store, which has an empty folder after each restart."""
    (pod,) = (
        each["metadata"]["name"]
        for each in kubectl.list("pod", "-l", "app=s3")
        if "deletionTimestamp" not in each["metadata"]
    )
    kubectl("exec", pod, "--", "mkdir", "-p", "/data/models")
    kubectl("cp", str(files), f"{pod}:/data/models/cifar10")


def _secret(keys: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-keys"}, "stringData": keys}


def _account(namespace: str) -> Manifest:
    annotations = {
        "serving.kserve.io/s3-endpoint": f"s3.{namespace}.svc.cluster.local",
        "serving.kserve.io/s3-usehttps": "0",
        "serving.kserve.io/s3-region": "us-east-1",
    }
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "models", "annotations": annotations},
        "secrets": [{"name": "s3-keys"}],
    }


def _host_with_account() -> Manifest:
    manifest = host()
    manifest["spec"]["predictor"]["serviceAccountName"] = "models"
    return manifest


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
