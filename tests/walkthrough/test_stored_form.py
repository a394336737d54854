"""The walkthrough with the host as KServe 0.8 and newer stores it: `predictor.model` in place of `predictor.triton`."""

from __future__ import annotations

import json
import urllib.request

import pytest
import yaml

from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Manifest, Refused
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.conftest import ROOT
from tests.walkthrough.test_migration import STRINGS
from tests.walkthrough.things import answers, model, wait_ready

SAMPLES = ROOT / "deploy" / "samples"
HOST = "triton-mms"


def sample(name: str) -> Manifest:
    manifest: Manifest = yaml.safe_load((SAMPLES / name).read_text())
    return manifest


def stored_sample() -> Manifest:
    """Return the sample's host as KServe's defaulting webhook rewrites it."""
    host = sample("multi_model_triton.yaml")
    server = host["spec"]["predictor"].pop("triton")
    server["resources"]["requests"] = {"cpu": "50m", "memory": "64Mi"}  # so that it fits on the node beside other tests
    stored = {"modelFormat": {"name": "triton"}, "name": "", "protocolVersion": "v2", "runtime": "kserve-tritonserver"}
    host["spec"]["predictor"]["model"] = server | stored
    return host


def refused(kubectl: Kubectl, *manifests: Manifest) -> str:
    with pytest.raises(Refused) as caught:
        kubectl.apply(*manifests)
    return str(caught.value)


def test_stored_form_of_kserve_runs_the_walkthrough(cluster: DemoCluster, kubectl: Kubectl) -> None:
    host = stored_sample()
    kubectl.apply(host)
    ready = wait_ready(kubectl, "isvc", HOST)
    assert ready["status"]["url"] == f"http://{HOST}.{kubectl.namespace}.example.com"
    kubectl.apply(sample("trained_model.yaml"), sample("simple_string.yaml"))
    for name in ("cifar10", "simple-string"):
        wait_ready(kubectl, "tm", name)
        assert answers(cluster, kubectl, name, on=HOST)
    assert _inferred(cluster, kubectl) == [str(2 * int(each)) for each in STRINGS]
    too_much = refused(kubectl, model("one-too-many", on=HOST, memory="1Gi"))
    assert "1Gi does not fit on triton-mms" in too_much
    assert "2Gi of 2Gi is used by 2 models" in too_much
    assert "sklearn" in refused(kubectl, model("wrong-framework", on=HOST, framework="sklearn"))
    assert kubectl.get("isvc", HOST)["spec"] == host["spec"], "the spec is never rewritten"

    kubectl("delete", "tm", "cifar10")
    eventually_sync(lambda: not answers(cluster, kubectl, "cifar10", on=HOST), "the model is unloaded")
    assert answers(cluster, kubectl, "simple-string", on=HOST)
    kubectl("delete", "isvc", HOST)
    eventually_sync(lambda: not kubectl.list("tm"), "the host's models are deleted", 120)


def _inferred(cluster: DemoCluster, kubectl: Kubectl) -> list[str]:
    """Return the sums in the answer of simple-string through the gateway."""
    tensors = [{"name": name, "shape": [1, 16], "datatype": "BYTES", "data": STRINGS} for name in ("INPUT0", "INPUT1")]
    request = urllib.request.Request(
        f"{cluster.gateway}/v2/models/simple-string/infer",
        data=json.dumps({"inputs": tensors}).encode(),
        headers={"Host": f"{HOST}.{kubectl.namespace}.example.com", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        outputs = json.loads(answer.read())["outputs"]
    return next(each["data"] for each in outputs if each["name"] == "OUTPUT0")
