"""Commands of docs/migrating-from-kserve.md: a host migrates from KServe to manyserve and back, and answers throughout.

KServe is a fake (`played_kserve`); the pods, the model servers, the gateway and manyserve are real.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from manyserve.api import names
from manyserve.plan.management import DEPLOYMENT_MODE, HOST_FINALIZERS
from tests.support import kserve_children as kserve
from tests.support.document import headings, script
from tests.support.eventually import eventually_sync
from tests.support.figures import Figures, reports
from tests.support.kubectl import Kubectl, Manifest
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.conftest import ROOT
from tests.walkthrough.played_kserve import (
    CONTROLLER,
    NAMESPACE,
    SLEEPER,
    PlayedKServe,
    installed,
    pod_spec_of,
    wait_gone,
)
from tests.walkthrough.request_load import request_load
from tests.walkthrough.things import CIFAR, STRING, model

DOC = ROOT / "docs" / "migrating-from-kserve.md"
HOST, SINGLE = "triton-mms", "iris"
RATE = 20
SETTINGS = "NAMESPACE=models HOST=triton-mms SINGLE=iris KSERVE=kserve BACKUP=kserve-backup"
LOCAL = ("helm install manyserve deploy/chart", "helm install manyserve deploy/chart -f deploy/local/values.yaml")
STRINGS = [str(number) for number in range(1, 17)]
STEPS = [
    "1. Back up",
    "2. Stop KServe",
    "3. Replace the CRDs",
    "4. Install manyserve",
    "5. Find the hosts",
    "6. Migrate a host",
    "7. Remove what is left over",
    "8. InferenceServices that stay in KServe's form",
    "9. Back to KServe",
    "10. Remove what manyserve made",
]
OTHER_CASE = "When objects are stored in another version"
"""tests/contract/test_migration.py tests this section."""
LEFT_ALONE = ("isvc/iris", "tm/lonely", "deployment/iris-predictor")


@dataclass
class Page:
    """The document, with the settings of one namespace."""

    env: dict[str, str]
    namespace: str
    backup: Path

    def run(self, step: str) -> str:
        """Run the commands of a step, and return their output."""
        settings = f"NAMESPACE={self.namespace} HOST={HOST} SINGLE={SINGLE} KSERVE={NAMESPACE} BACKUP={self.backup}"
        commands = script(DOC, step).replace(*LOCAL)
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{settings}\n{commands}"],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{step}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def unmanaged(request: pytest.FixtureRequest) -> Figures:
    return reports(request.config)["unmanaged"]


@pytest.fixture
def played(cluster: DemoCluster, kubectl: Kubectl) -> Iterator[PlayedKServe]:
    """The fake KServe in place of manyserve, which is installed again at the end."""
    fake = PlayedKServe(kubectl, pod_spec_of(kubectl, stored_host(), *models()))
    subprocess.run(["helm", "uninstall", "manyserve", "-n", "manyserve-system", "--wait"], env=cluster.env, check=True)
    try:
        fake.install()
        yield fake
    finally:
        fake.remove_webhooks()
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
        kubectl("replace", "-f", str(ROOT / "crds"))
        installed(cluster.env, "--take-ownership", "--set", "crds.takeOwnership=true")


def stored_host() -> Manifest:
    """Return a host as KServe 0.8 and newer stores it."""
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "50m", "memory": "64Mi"}}
    server = {"modelFormat": {"name": "triton"}, "name": "", "protocolVersion": "v2", "runtime": "kserve-tritonserver"}
    host = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": HOST}}
    return host | {"spec": {"predictor": {"model": server | {"resources": resources}}}}


def models() -> list[Manifest]:
    strings = model("simple-string", on=HOST, uri=STRING, framework="tensorflow")
    return [model("cifar10", on=HOST, uri=CIFAR), strings]


def populate(played: PlayedKServe) -> Manifest:
    """Create a host of KServe that answers, and objects that cannot be migrated; return the host."""
    kubectl = played.kubectl
    server = {"modelFormat": {"name": "sklearn"}, "storageUri": "gs://bucket/iris", "future": [1]}
    single = stored_host() | {"metadata": {"name": SINGLE}, "spec": {"predictor": {"model": server}}}
    lonely = kserve.kept_model(model("lonely", on=SINGLE))
    hosted = [kserve.kept_model(each) for each in models()]
    kubectl.apply(*map(kserve.kept_by_kserve, (stored_host(), single)), *hosted, lonely)
    host = kubectl.get("isvc", HOST)
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    for thing in (f"isvc/{HOST}", "tm/cifar10", "tm/simple-string"):
        status = json.dumps({"status": {"conditions": [ready], "observedGeneration": 1}})
        kubectl("patch", thing, "--subresource=status", "--type=merge", "-p", status)
    kubectl.apply(kserve.model_config(host, *models()), kserve.deployment(kubectl.get("isvc", SINGLE), SLEEPER))
    played.take(host)
    return host


def requests_of(cluster: DemoCluster, played: PlayedKServe) -> list[urllib.request.Request]:
    """Return a request to each model, with the host name that KServe chose."""
    headers = {"Host": played.hostname(HOST), "Content-Type": "application/json"}
    tensors = [{"name": name, "shape": [1, 16], "datatype": "BYTES", "data": STRINGS} for name in ("INPUT0", "INPUT1")]
    base, body = f"{cluster.gateway}/v2/models", json.dumps({"inputs": tensors}).encode()
    return [
        urllib.request.Request(f"{base}/simple-string/infer", data=body, headers=headers),
        urllib.request.Request(f"{base}/cifar10/ready", headers=headers),
    ]


def identities(kubectl: Kubectl) -> dict[str, tuple[str, Manifest]]:
    """Return the uid and the spec of each InferenceService and TrainedModel."""
    return {each["metadata"]["name"]: (each["metadata"]["uid"], each["spec"]) for each in kubectl.list("isvc,tm")}


def versions(kubectl: Kubectl) -> list[str]:
    """Return the versions of the objects that stay with KServe; a Deployment has its generation."""
    metadata = [kubectl.get(*each.split("/"))["metadata"] for each in LEFT_ALONE]
    return [*(each["resourceVersion"] for each in metadata[:2]), str(metadata[2]["generation"])]


def test_migration_page_commands_are_all_run_by_this_test() -> None:
    assert headings(DOC) == ["Hosts that can be migrated", *STEPS, OTHER_CASE]
    assert script(DOC, "Hosts that can be migrated") == SETTINGS
    assert LOCAL[0] in script(DOC, STEPS[3])


def test_migration_of_a_host_to_manyserve_and_back_loses_no_request(
    cluster: DemoCluster, played: PlayedKServe, unmanaged: Figures, tmp_path: Path
) -> None:
    kubectl = played.kubectl
    host = populate(played)
    page = Page(cluster.env, kubectl.namespace, tmp_path / "backup")
    before = identities(kubectl)
    requests = requests_of(cluster, played)
    wait_answered(requests)
    played.install_webhooks()
    with request_load(*requests, rate=RATE) as results:
        seconds = migrate(page, kubectl)
        assert identities(kubectl) == before, "the same objects with the same specs"
        page.run(STEPS[7])
        wait_gone(kubectl, f"isvc/{SINGLE}", f"deployment/{SINGLE}-predictor")
        go_back(page, played, host)
        alone = results.count
        eventually_sync(lambda: results.count > alone + RATE, "KServe's pods alone answer")
    del before[SINGLE]
    assert identities(kubectl) == before
    unmanaged.take("seconds of the migration of a host", seconds, "s", below=120)
    lost = len(results.lost)
    unmanaged.take(f"requests lost over the migration and back, of {results.count}", lost, "", exactly=0)
    assert results.lost == []
    assert results.count > RATE * 10
    check_deletable(kubectl)


def migrate(page: Page, kubectl: Kubectl) -> float:
    """Migrate the host, and return the seconds that it took."""
    alone = versions(kubectl)
    for step in STEPS[:4]:
        page.run(step)
    check_installed(kubectl, page)
    listed = page.run(STEPS[4])
    assert kubectl.namespace in listed
    assert "gs://bucket/iris" in listed
    began = time.monotonic()
    page.run(STEPS[5])
    seconds = time.monotonic() - began
    check_migrated(kubectl)
    assert versions(kubectl) == alone, "objects that cannot be migrated stay unchanged"
    page.run(STEPS[6])
    wait_gone(kubectl, f"deployment/{HOST}-predictor", f"hpa/{HOST}-predictor")
    assert leads_to(kubectl, f"{HOST}-predictor") == leads_to(kubectl, HOST) != set()
    return seconds


def go_back(page: Page, played: PlayedKServe, host: Manifest) -> None:
    """Migrate the host back, with the steps that KServe does in between."""
    kubectl = played.kubectl
    page.run(STEPS[8])
    played.remove_webhooks()
    kubectl("patch", f"isvc/{HOST}", "--type=merge", "-p", json.dumps({"metadata": marks()}))
    assert placed(kubectl) == ["cifar10", "simple-string"], "an unmanaged host keeps its models"
    played.take(host)
    page.run(STEPS[9])
    wait_gone(kubectl, f"deployment/{names.deployment(HOST)}", f"service/{HOST}")


def marks() -> Manifest:
    """Return the marks that KServe sets on a host again."""
    return {"finalizers": list(HOST_FINALIZERS[:1])}


def check_installed(kubectl: Kubectl, page: Page) -> None:
    crd = kubectl.get("crd", "inferenceservices.serving.kserve.io")
    assert crd["spec"]["conversion"] == {"strategy": "None"}
    assert Kubectl(kubectl.env, NAMESPACE).list("secret", "-l", "owner=helm") == []
    assert "kserve-crd" in (page.backup / "releases.yaml").read_text()
    assert Kubectl(kubectl.env, NAMESPACE).get("deployment", CONTROLLER)["spec"]["replicas"] == 0


def check_migrated(kubectl: Kubectl) -> None:
    host = kubectl.get("isvc", HOST)
    assert host["status"]["models"] == "2/2"
    assert not host["metadata"].get("finalizers")
    assert DEPLOYMENT_MODE not in host["metadata"].get("annotations", {})
    (rule,) = kubectl.get("ingress", HOST)["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == HOST
    for name in ("cifar10", "simple-string"):
        assert kubectl.get("tm", name)["status"]["loaded"] == "1/1"


def placed(kubectl: Kubectl) -> list[str]:
    text = kubectl.get("configmap", names.model_config(HOST))["data"]["models.json"]
    return [each["modelName"] for each in json.loads(text)]


def leads_to(kubectl: Kubectl, service: str) -> set[str]:
    """Return the addresses of the pods behind a Service."""
    slices = kubectl.list("endpointslice", "-l", f"kubernetes.io/service-name={service}")
    return {address for each in slices for end in each.get("endpoints") or () for address in end["addresses"]}


def check_deletable(kubectl: Kubectl) -> None:
    """Delete all objects, models first, and remove KServe's finalizers."""
    for thing in kubectl("get", "tm,isvc", "-o", "name").split():
        kubectl("delete", thing, "--wait=false")
        if kubectl.exists(*thing.split("/")):
            kubectl("patch", thing, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}}))
    assert kubectl.list("isvc,tm") == []


def wait_answered(requests: list[urllib.request.Request]) -> None:
    """Wait until KServe's pods answer each request."""
    for request in requests:
        eventually_sync(lambda request=request: is_answered(request), f"{request.full_url} is answered")  # type: ignore[misc]


def is_answered(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except OSError:
        return False
