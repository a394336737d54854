"""Secrets and claims on a real API server: mounts, environment and roll-outs of the pods."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from manyserve.api import names
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from tests.chart.rendering import the
from tests.contract.stage import HOST, Stage
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl

DEPLOYMENT = names.deployment(HOST)
REGION = "serving.kserve.io/s3-region"


def template(stage: Stage) -> dict[str, Any]:
    spec: dict[str, Any] = stage.kubectl.get("deployment", DEPLOYMENT)["spec"]["template"]["spec"]
    return spec


def mounts(stage: Stage) -> set[str]:
    """Return the mounted folders of stores in the agent."""
    (agent,) = (each for each in template(stage)["containers"] if each["name"] == "agent")
    paths = (each["mountPath"] for each in agent["volumeMounts"])
    return {path for path in paths if path.startswith(("/mnt/credentials/", "/mnt/pvc/"))}


def env(stage: Stage) -> dict[str, str]:
    (agent,) = (each for each in template(stage)["containers"] if each["name"] == "agent")
    return {each["name"]: each.get("value", "") for each in agent["env"]}


def revision(stage: Stage) -> str:
    return str(stage.kubectl.get("deployment", DEPLOYMENT)["metadata"]["annotations"][names.REVISION])


def list_secrets(stage: Stage, *listed: str) -> None:
    patch = json.dumps({"secrets": [{"name": each} for each in listed]})
    stage.kubectl("patch", "serviceaccount", "default", "--type=merge", "-p", patch)


async def test_account_secrets_reach_the_agent_and_only_their_list_rolls_the_pods(stage: Stage) -> None:
    stage.apply(make.host_object())
    await eventually_in_thread(
        lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready without a secret"
    )
    list_secrets(stage, "s3-keys")
    await eventually_in_thread(
        lambda: mounts(stage) == {"/mnt/credentials/s3-keys"}, "a secret that does not exist yet is mounted"
    )
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "and stops no pod")
    before = revision(stage)
    stage.kubectl("create", "secret", "generic", "s3-keys", "--from-literal=AWS_ACCESS_KEY_ID=a")
    stage.kubectl("patch", "secret", "s3-keys", "-p", '{"stringData": {"AWS_ACCESS_KEY_ID": "b"}}')
    stage.kubectl("label", "serviceaccount", "default", "a=b")
    stage.kubectl("annotate", "secret", "s3-keys", f"{REGION}=eu-1")
    stage.apply(make.model_object())
    await eventually_in_thread(
        lambda: stage.ready("tm", "cifar10").get("status") == "True", "the operator has planned again"
    )
    assert revision(stage) == before, "rotation is no roll-out"
    assert "MANYSERVE_S3_REGION" not in env(stage), "a secret's annotations are not read unless the chart says so"
    stage.kubectl("annotate", "serviceaccount", "default", f"{REGION}=eu-2")
    await eventually_in_thread(
        lambda: env(stage).get("MANYSERVE_S3_REGION") == "eu-2", "an account's own annotations are read"
    )
    list_secrets(stage)
    await eventually_in_thread(lambda: mounts(stage) == set(), "a secret without an entry is unmounted")


async def test_secret_annotations_are_read_when_the_configuration_allows_it(stage: Stage) -> None:
    stage.kubectl("create", "secret", "generic", "s3-keys", "--from-literal=AWS_ACCESS_KEY_ID=a")
    stage.kubectl("annotate", "secret", "s3-keys", f"{REGION}=eu-1")
    patch = json.dumps({"data": {"credentials": json.dumps({"readSecretAnnotations": True})}})
    stage.kubectl("patch", "configmap", "inferenceservice-config", "-p", patch)
    stage.apply(make.host_object())
    list_secrets(stage, "s3-keys")
    await eventually_in_thread(lambda: stage.kubectl.exists("deployment", DEPLOYMENT), "the Deployment is made")
    await eventually_in_thread(
        lambda: env(stage).get("MANYSERVE_S3_REGION") == "eu-1", "the secret's annotation is read"
    )


async def test_secret_lookup_transfers_only_metadata(kubectl: Kubectl, client: KubeClient) -> None:
    kubectl("create", "secret", "generic", "s3-keys", "--from-literal=AWS_ACCESS_KEY_ID=a")
    secret = await client.get_metadata(kinds.SECRET, kubectl.namespace, "s3-keys")
    assert secret["kind"] == "PartialObjectMetadata"
    assert set(secret) <= {"kind", "apiVersion", "metadata"}


CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "mine"},
    "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""},
}


def volume(namespace: str) -> dict[str, Any]:
    """Return a volume for the claim, with the namespace as its name."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadOnlyMany"],
        "hostPath": {"path": "/mnt"},
        "storageClassName": "",
        "claimRef": {"namespace": namespace, "name": "mine"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": spec}


async def test_claim_is_mounted_when_it_exists_and_reported_as_missing_before(stage: Stage) -> None:
    stage.apply(make.host_object(), make.model_object(), make.model_object("ours", uri="pvc://mine/model"))
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the other model is ready")
    assert stage.ready("isvc", HOST)["status"] == "True"
    assert mounts(stage) == set()
    stage.kubelet.fails.add("ours")
    stage.kubelet._load()
    await eventually_in_thread(
        lambda: stage.ready("tm", "ours").get("reason") == "PersistentVolumeClaimNotFound",
        "the model reports the missing claim",
    )
    message = (
        f"PersistentVolumeClaim mine does not exist in namespace {stage.kubectl.namespace}; the model waits for it"
    )
    assert stage.ready("tm", "ours")["message"] == message
    stage.apply(CLAIM)
    await eventually_in_thread(
        lambda: stage.ready("tm", "ours").get("reason") == "PersistentVolumeClaimNotAllowed",
        "the model reports that no volume is bound to the claim",
    )
    assert mounts(stage) == set()
    stage.apply(volume(stage.kubectl.namespace))
    await eventually_in_thread(
        lambda: mounts(stage) == {"/mnt/pvc/mine"}, "the claim is mounted soon after it is bound"
    )
    stage.kubelet.fails.clear()
    stage.kubelet._load()
    await eventually_in_thread(lambda: stage.ready("tm", "ours").get("status") == "True", "the model is ready")


@pytest.mark.parametrize("read_annotations", [False, True])
def test_chart_rights_cover_the_lookups_and_no_secret_by_default(kubectl: Kubectl, read_annotations: bool) -> None:
    values = ("config.credentials.readSecretAnnotations=true",) if read_annotations else ()
    role = the("ClusterRole", "manyserve-operator", *values)
    name = f"{kubectl.namespace}-operator"
    user = f"system:serviceaccount:{kubectl.namespace}:operator"
    role["metadata"] = {"name": name}
    try:
        kubectl("create", "-f", "-", text=yaml.safe_dump(role))
        kubectl("create", "rolebinding", "operator", f"--clusterrole={name}", f"--user={user}")

        def may(verb: str, kind: str) -> bool:
            words = ("auth", "can-i", verb, kind, f"--as={user}", "--quiet")
            try:
                kubectl(*words)
            except AssertionError:
                return False
            return True

        assert may("watch", "serviceaccounts")
        assert not may("patch", "serviceaccounts")
        assert may("get", "persistentvolumeclaims")
        assert not may("list", "persistentvolumeclaims")
        assert may("get", "secrets") is read_annotations
        assert not may("list", "secrets")
        assert not may("watch", "secrets")
    finally:
        kubectl("delete", "clusterrole", name, "--ignore-not-found")
