"""`manyserve check` against a real API server, with only the rights of the chart's `helm test`."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from tests.chart.test_helm_test import hooks
from tests.support.eventually import eventually_sync
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl
from tests.support.programs import manyserve
from tests.support.scoped import as_account
from tests.support.webhook import Webhook

READY = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}


@pytest.fixture
def account(asked: Webhook, api_server: Cluster, tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig with the rights of `helm test` for a release in the webhook's namespace, with its Deployments."""
    kubectl = asked.kubectl
    release = kubectl.namespace
    text = json.dumps([each for each in hooks(f"fullnameOverride={release}") if each["kind"] != "Pod"])
    kubectl.apply(*json.loads(text.replace("manyserve-system", release)))
    for program in ("operator", "webhook"):
        kubectl("create", "deployment", f"{release}-{program}", "--image=none")
    yield as_account(api_server.kubeconfig, kubectl, f"{release}-test", tmp_path)
    kubectl("delete", "deployment", "--all")
    kubectl("delete", "clusterrole,clusterrolebinding", f"{release}-test")


def check(account: Path, release: str, review: str, limit: float) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    env = {
        "POD_NAMESPACE": release,
        "MANYSERVE_CHECK_DEPLOYMENTS": f"{release}-operator,{release}-webhook",
        "MANYSERVE_CHECK_NAMESPACE": review,
        "MANYSERVE_CHECK_TIMEOUT": str(limit),
    }
    return manyserve("check", KUBECONFIG=str(account), **env)


def pods_become_ready(kubectl: Kubectl) -> None:
    """Report all pods as ready, as a kubelet does."""
    eventually_sync(lambda: len(kubectl.list("pod")) == 2, "both pods exist")
    for pod in kubectl.list("pod"):
        patch = json.dumps(READY)
        kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p", patch)


def test_check_fails_with_one_sentence_each_and_succeeds_when_the_release_works(
    asked: Webhook, account: Path, chart_figures: Figures
) -> None:
    release = asked.kubectl.namespace
    done = check(account, release, "default", limit=1)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED: ")]
    assert done.returncode == 1
    assert len(failed) == 3
    for program, line in zip(("operator", "webhook"), failed, strict=False):
        assert line == (
            f"FAILED: the Deployment {release}/{release}-{program} has 0 of 1 pods ready; kubectl describe says why"
        )
    assert "it cannot be checked" in failed[2] or "refused, but not by the webhook" in failed[2]
    pods_become_ready(asked.kubectl)
    models = [each["metadata"]["name"] for each in asked.kubectl.list("tm")]
    began = time.monotonic()
    done = check(account, release, release, limit=30)
    chart_figures.take("manyserve check of a release that works", time.monotonic() - began, "s", below=30)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == ["ok"] * 5
    assert [each["metadata"]["name"] for each in asked.kubectl.list("tm")] == models
