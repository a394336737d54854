"""The walkthrough in our own API group: a second release, beside unchanged objects of KServe."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from manyserve.api_group import OWN
from tests.support.eventually import eventually_sync
from tests.support.figures import Figures
from tests.support.helm import Helm
from tests.support.kubectl import Kubectl, Manifest, Refused
from tests.walkthrough.cluster import ROOT, DemoCluster
from tests.walkthrough.things import CIFAR, answers, wait_ready

SAMPLES = ROOT / "deploy" / "samples" / OWN
SYSTEM = "own-system"
HOST = "triton-mms"
VALUES = (f"api.group={OWN}", "operator.replicas=1", "webhook.replicas=1")
WORDS = ("-f", "deploy/local/values.yaml", "--wait", "--timeout", "2m")
CRDS = tuple(f"{plural}.{OWN}" for plural in ("inferenceservices", "trainedmodels"))
NUMBERS = [str(number) for number in range(1, 17)]


def test_own_group_runs_the_walkthrough_and_kserves_objects_stay_unchanged(
    cluster: DemoCluster, kubectl: Kubectl, figures: Figures
) -> None:
    began = time.monotonic()
    with kserves_objects(kubectl) as theirs:
        before = theirs()
        with own_release(cluster):
            walk(cluster, kubectl)
            assert theirs() == before
        assert theirs() == before
    figures.take("the walkthrough in our own group, with its installation", time.monotonic() - began, "s")


def walk(cluster: DemoCluster, kubectl: Kubectl) -> None:
    """Apply the samples, send requests to both models, check two refusals, and delete the host."""
    for name in ("multi_model_triton", "trained_model", "simple_string"):
        eventually_sync(partial(applied, kubectl, f"{name}.yaml"), f"the kind of {name} is served", 20)
    wait_ready(kubectl, "misvc", HOST)
    for model in ("cifar10", "simple-string"):
        wait_ready(kubectl, "mtm", model)
    assert kubectl.get("misvc", HOST)["status"]["url"] == f"http://{HOST}.{kubectl.namespace}.example.com"
    assert answers(cluster, kubectl, "cifar10", on=HOST)
    assert sums(cluster, kubectl) == [str(2 * int(each)) for each in NUMBERS]
    with pytest.raises(Refused, match=r"1Gi does not fit on triton-mms: 2Gi of 2Gi is used by 2 models"):
        kubectl.apply(model_of("one-too-many", "pytorch"))
    with pytest.raises(Refused, match="does not support framework sklearn"):
        kubectl.apply(model_of("wrong-framework", "sklearn"))
    kubectl("delete", "misvc", HOST)
    eventually_sync(lambda: not kubectl.list("mtm"), "the models of the host are gone", 60)


@contextmanager
def own_release(cluster: DemoCluster) -> Iterator[None]:
    """Install a release of our own group, and delete it with its CRDs at the end."""
    helm, everywhere = Helm(cluster.env), Kubectl(cluster.env)
    try:
        helm.install(SYSTEM, *VALUES, words=WORDS, limit=180)
        yield
    finally:
        helm("uninstall", "manyserve", "--namespace", SYSTEM, "--wait", "--ignore-not-found")
        everywhere("delete", "crd", *CRDS, "--ignore-not-found")
        everywhere("delete", "namespace", SYSTEM, "--wait=false", "--ignore-not-found")


@contextmanager
def kserves_objects(kubectl: Kubectl) -> Iterator[Callable[[], str]]:
    """Create objects in the form of newer KServe releases, with finalizers; yield a function that reads them."""
    objects = {"isvc": host_of_kserve(), "tm": model_of_kserve()}
    kubectl.apply(*objects.values())
    try:
        yield lambda: kubectl("get", "isvc,tm", "-o", "yaml", "--show-managed-fields")
    finally:
        released = json.dumps({"metadata": {"finalizers": None}})
        for kind, manifest in objects.items():
            kubectl("patch", kind, manifest["metadata"]["name"], "--type=merge", "-p", released)


def host_of_kserve() -> Manifest:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "sklearn-iris", "finalizers": ["inferenceservice.finalizers"]},
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "sklearn"},
                    "runtime": "kserve-sklearnserver",
                    "storageUri": "gs://kfserving-examples/models/sklearn/1.0/model",
                }
            }
        },
    }


def model_of_kserve() -> Manifest:
    model = {"framework": "sklearn", "storageUri": CIFAR, "memory": "1Gi"}
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "TrainedModel",
        "metadata": {"name": "theirs", "finalizers": ["trainedmodel.finalizer"]},
        "spec": {"inferenceService": "sklearn-iris", "model": model},
    }


def model_of(name: str, framework: str) -> Manifest:
    """Return a model of our own group for the samples' host."""
    return {
        "apiVersion": f"{OWN}/v1alpha1",
        "kind": "TrainedModel",
        "metadata": {"name": name},
        "spec": {"inferenceService": HOST, "model": {"framework": framework, "storageUri": CIFAR, "memory": "1Gi"}},
    }


def applied(kubectl: Kubectl, sample: str) -> bool:
    """Apply a sample, and return whether its kind is served yet."""
    try:
        return bool(kubectl("apply", "-f", str(SAMPLES / sample)))
    except Refused as refused:
        if "no matches for kind" not in str(refused):
            raise
        return False


def sums(cluster: DemoCluster, kubectl: Kubectl) -> list[str]:
    """Return what simple-string answers to a request through the gateway: twice each number."""
    tensor = {"datatype": "BYTES", "shape": [1, 16], "data": NUMBERS}
    inputs = [{"name": name} | tensor for name in ("INPUT0", "INPUT1")]
    request = urllib.request.Request(
        f"{cluster.gateway}/v2/models/simple-string/infer",
        data=json.dumps({"inputs": inputs}).encode(),
        headers={"Host": f"{HOST}.{kubectl.namespace}.example.com", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        outputs = json.load(answer)["outputs"]
    return next(list(each["data"]) for each in outputs if each["name"] == "OUTPUT0")
