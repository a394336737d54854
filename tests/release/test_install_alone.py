"""install.yaml, applied alone to a real API server: both programs work with the accounts and rights that it creates.

The programs run as processes with their environment from install.yaml. One thing differs from a cluster: the API server
uses no Service here, so the registration has a URL on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import yaml

from localcluster.paths import Cluster
from tests.chart.rendering import environment as variables
from tests.contract.test_check import READY
from tests.contract.test_own_group import CHILDREN, MINE
from tests.support.control_plane import environment
from tests.support.eventually import eventually_sync
from tests.support.helm import Helm, commands, remove_crds
from tests.support.kubectl import Kubectl, Refused
from tests.support.programs import PROJECT, WEBHOOK, Program, free_port, program, read
from tests.support.scoped import as_account
from tests.support.webhook import LIMIT, SERVICE, is_asked

INSTALL = PROJECT / "docs" / "install.md"
SAMPLES = PROJECT / "deploy" / "samples"
NAMESPACE = "manyserve-system"
REGISTRATION = "manyserve-webhook"
CRDS_STAY = "app.kubernetes.io/component!=crds"


@pytest.fixture
def kubectl(bare_server: Cluster, release: Path) -> Iterator[Kubectl]:
    """kubectl on an API server without CRDs; all that the test makes is deleted."""
    kubectl = Kubectl(environment(bare_server))
    yield kubectl
    with suppress(Refused):
        kubectl("delete", CHILDREN, "-l", MINE, "--wait=false")
    system = Kubectl(kubectl.env, NAMESPACE)
    system("delete", "-f", str(release / "install.yaml"), "--ignore-not-found", "--wait=false", "-l", CRDS_STAY)
    remove_crds(kubectl)


def run(kubectl: Kubectl, release: Path, index: int) -> str:
    """Run a command of the document in the folder of the release, and return its output."""
    command = commands(INSTALL, "Without Helm")[index]
    return Helm(kubectl.env).shell(f"cd {release}; {command}")


def settings(release: Path, name: str) -> dict[str, str]:
    """Return the environment of a Deployment in install.yaml, without its ports."""
    manifests = yaml.safe_load_all((release / "install.yaml").read_text())
    (pod,) = (each["spec"]["template"]["spec"] for each in manifests if is_deployment(each, name))
    found = {key: value for key, value in variables(pod).items() if not key.endswith("_PORT")}
    return found | {"MANYSERVE_WATCH_NAMESPACES": ""}


def is_deployment(manifest: dict[str, object], name: str) -> bool:
    """Return whether a manifest is the Deployment of this name."""
    return manifest["kind"] == "Deployment" and f"'name': '{name}'" in str(manifest["metadata"])


def is_ready(running: Program, port: int) -> bool:
    """Return whether a program is ready. A program that has ended fails the test with its log."""
    assert running.process.poll() is None, running.log.read_text()
    return read(port, "/readyz").startswith("ok")


def trusted(kubectl: Kubectl) -> str:
    """Return the CA in the registration, or an empty text."""
    configuration = kubectl.get("validatingwebhookconfiguration", REGISTRATION)
    return str(configuration["webhooks"][0]["clientConfig"].get("caBundle", ""))


def become_ready(kubectl: Kubectl) -> None:
    """Report all pods as ready, as a kubelet does."""
    eventually_sync(lambda: len(kubectl.list("pod")) == 4, "the pods of both Deployments exist")
    for pod in kubectl.list("pod"):
        patch = json.dumps(READY)
        kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p", patch)


def ask(kubectl: Kubectl, port: int) -> None:
    """Give the registration the URL of the webhook on this machine, in place of its Service."""
    client = {"url": f"https://{SERVICE}:{port}/validate", "caBundle": trusted(kubectl)}
    patch = json.dumps([{"op": "replace", "path": "/webhooks/0/clientConfig", "value": client}])
    kubectl("patch", "validatingwebhookconfiguration", REGISTRATION, "--type=json", "-p", patch)


def test_install_document_without_helm_runs_the_programs_and_leaves_the_objects(
    kubectl: Kubectl, bare_server: Cluster, release: Path, tmp_path: Path
) -> None:
    assert "FAILED" not in run(kubectl, release, 0)
    assert "created" in run(kubectl, release, 1)
    system = Kubectl(kubectl.env, NAMESPACE)
    account = partial(as_account, bare_server.kubeconfig, system, folder=tmp_path)
    port = free_port()
    local = {"MANYSERVE_WEBHOOK_SERVICE": SERVICE, "MANYSERVE_WEBHOOK_PORT": str(port)}
    reviewing = settings(release, REGISTRATION) | local
    operating = settings(release, "manyserve-operator")
    with (
        program(account(REGISTRATION), NAMESPACE, tmp_path / "webhook.log", *WEBHOOK, settings=reviewing) as webhook,
        program(account("manyserve-operator"), NAMESPACE, tmp_path / "operator.log", settings=operating) as operator,
    ):
        eventually_sync(lambda: is_ready(webhook, webhook.metrics), "the webhook is ready", LIMIT)
        eventually_sync(lambda: is_ready(operator, operator.health), "the operator is ready", LIMIT)
        eventually_sync(lambda: trusted(kubectl) != "", "the webhook has registered its CA", LIMIT)
        applied_again_keeps_the_certificate(kubectl, system, release)
        ask(kubectl, port)
        eventually_sync(lambda: is_asked(kubectl), "the API server asks the webhook", LIMIT)
        for name in ("multi_model_triton.yaml", "trained_model.yaml"):
            kubectl("apply", "-f", str(SAMPLES / name))
        eventually_sync(
            lambda: len(kubectl.list("deployment")) == 1, "the operator has made the host's Deployment", LIMIT
        )
        become_ready(system)
        run(kubectl, release, 2)
        checked = run(kubectl, release, 3).splitlines()
        assert [line.partition(": ")[0] for line in checked] == ["ok"] * 5
    run(kubectl, release, 4)
    assert "cifar10" in kubectl("get", "isvc,tm", "-o", "name")
    assert not kubectl.exists("clusterrole", "manyserve-operator")


def applied_again_keeps_the_certificate(kubectl: Kubectl, system: Kubectl, release: Path) -> None:
    """Apply install.yaml once more, as an upgrade does."""
    before = system.get("secret", "manyserve-webhook-certificate")["data"], trusted(kubectl)
    lines = run(kubectl, release, 1).splitlines()
    assert [line for line in lines if not line.endswith(" unchanged") and " configured" not in line] == []
    assert (system.get("secret", "manyserve-webhook-certificate")["data"], trusted(kubectl)) == before
