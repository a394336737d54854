"""Input 23: `--dry-run=server` has the result of the real request and stores nothing."""

from __future__ import annotations

import json

import pytest

from tests.inputs.refusals import create_host, refusal
from tests.support import make
from tests.support.kubectl import Kubectl, Manifest
from tests.support.webhook import DENIED, Webhook

HOST = "input-23"
DRY = "--dry-run=server"
KINDS = "isvc,tm,configmaps,secrets,deployments,services,ingresses,events"


def world(kubectl: Kubectl) -> dict[str, str]:
    """Return every object of the namespace with its resourceVersion."""
    objects = kubectl.list(KINDS)
    return {f"{each['kind']} {each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in objects}


def model(name: str, memory: str) -> Manifest:
    return make.model_object(name, memory=memory, host=HOST)


@pytest.fixture(scope="module")
def kubectl(webhook: Webhook) -> Kubectl:
    """kubectl in a namespace with a host of 2Gi and a model of 1Gi."""
    create_host(webhook.kubectl, make.host_object(HOST))
    webhook.kubectl.create(model("input-23-first", "1Gi"))
    return webhook.kubectl


def test_input_23_dry_run_stores_and_changes_no_object(kubectl: Kubectl) -> None:
    before = world(kubectl)
    kubectl.create(model("input-23-dry", "1Gi"), DRY)
    kubectl.create(make.host_object("input-23-dry"), DRY)
    kubectl("apply", DRY, "-f", "-", text=json.dumps(kubectl.here(model("input-23-first", "2Gi"))))
    kubectl("patch", "isvc", HOST, "--type=merge", DRY, "-p", '{"spec": {"predictor": {"minReplicas": 2}}}')
    kubectl("label", "tm", "input-23-first", "a=b", DRY)
    kubectl("delete", "tm", "input-23-first", DRY)
    kubectl("delete", "isvc", HOST, DRY)
    refusal(lambda: kubectl.create(model("input-23-dry", "2Gi"), DRY))
    assert world(kubectl) == before
    assert f"InferenceService {HOST}" in before


def test_input_23_dry_run_reserves_no_memory(kubectl: Kubectl) -> None:
    for name in ("input-23-a", "input-23-b", "input-23-c"):
        assert "created (server dry run)" in kubectl.create(model(name, "1Gi"), DRY)
    kubectl("apply", DRY, "-f", "-", text=json.dumps(kubectl.here(model("input-23-first", "2Gi"))))
    assert "created" in kubectl.create(model("input-23-second", "1Gi"))
    kubectl("delete", "tm", "input-23-second")


REFUSED = {
    "too much memory": model("input-23-refused", "2Gi"),
    "no framework of the host's": make.model_object("input-23-refused", framework="abacus", host=HOST),
    "an address of the cloud": make.model_object("input-23-refused", uri="https://169.254.169.254/m", host=HOST),
    "an argument of the operator's": make.host_object("input-23-refused", triton={"args": ["--http-port=1"]}),
    "memory that is none": model("input-23-refused", "0"),
}


@pytest.mark.parametrize("manifest", REFUSED.values(), ids=REFUSED)
def test_input_23_dry_run_refusal_equals_the_real_one(kubectl: Kubectl, manifest: Manifest) -> None:
    dry = refusal(lambda: kubectl.create(manifest, DRY))
    assert dry == refusal(lambda: kubectl.create(manifest))
    assert DENIED in dry


def test_input_23_dry_run_refusal_of_an_update_equals_the_real_one(kubectl: Kubectl) -> None:
    patch = ("patch", "tm", "input-23-first", "--type=merge", "-p", '{"spec": {"model": {"memory": "3Gi"}}}')
    dry = refusal(lambda: kubectl(*patch, DRY))
    assert dry == refusal(lambda: kubectl(*patch))
    assert f"{DENIED}: spec.model.memory: 3Gi does not fit on {HOST}" in dry
