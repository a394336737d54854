"""Scope against a real API server: rights by namespace, and a namespace with a changing label."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from localcluster.paths import Cluster
from manyserve.api.scope import LabelSelector, Scope
from manyserve.cluster.client import KubeClient
from manyserve.operator.operator import Operator
from manyserve.operator.settings import OperatorSettings
from manyserve.plan.model_config import text_of
from tests.contract.kubelet import kubelet
from tests.contract.stage import HOST, Stage, configure
from tests.support import make
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually, eventually_in_thread, eventually_sync
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl, condition
from tests.support.programs import WEBHOOK, free_port, program, read
from tests.support.scoped import KINDS, REGISTERED, as_account, grant, may
from tests.support.webhook import is_asked, webhook

MODEL = "cifar10"
WRITTEN = "isvc,tm,service,ingress,configmap,deployment"
SECONDS = 10.0
"""Limit until a namespace that enters the scope is served."""


@pytest.fixture
def other(api_server: Cluster) -> Iterator[Kubectl]:
    """kubectl in a second namespace."""
    with new_namespace(api_server) as second:
        yield second


def versions(kubectl: Kubectl) -> dict[str, str]:
    """Return the versions that a write of the operator changes; a Deployment has its generation."""
    current = {}
    for manifest in kubectl.list(WRITTEN):
        field = "generation" if manifest["kind"] == "Deployment" else "resourceVersion"
        current[f"{manifest['kind']}/{manifest['metadata']['name']}"] = str(manifest["metadata"][field])
    current["events"] = str(sorted(each["reason"] for each in kubectl.list("events") if _ours(each)))
    return current


def _ours(event: dict[str, Any]) -> bool:
    return event["involvedObject"]["kind"] in ("InferenceService", "TrainedModel")


def apply(kubectl: Kubectl, *manifests: dict[str, Any]) -> None:
    kubectl.apply(*(kubectl.here(each) for each in manifests))


def placed(kubectl: Kubectl) -> list[str]:
    """Return the models in `models.json`, empty when there is none."""
    if not kubectl.exists("configmap", f"modelconfig-{HOST}-0"):
        return []
    text = text_of(kubectl.get("configmap", f"modelconfig-{HOST}-0"))
    return [each["modelName"] for each in json.loads(text or "[]")]


def is_ready(kubectl: Kubectl) -> bool:
    return condition(kubectl.get("tm", MODEL)).get("status") == "True"


# ---- a list

INSIDE = {
    "operator": [
        ("list", "inferenceservices"),
        ("watch", "trainedmodels"),
        ("patch", "trainedmodels/status"),
        ("create", "deployments"),
        ("update", "configmaps"),
        ("delete", "ingresses"),
        ("patch", "pods"),
        ("create", "events"),
        ("get", "persistentvolumeclaims"),
        ("list", "serviceaccounts"),
    ],
    "webhook": [("list", "inferenceservices"), ("list", "trainedmodels"), ("watch", "trainedmodels")],
}
NOWHERE = {
    "operator": [("get", "secrets"), ("delete", "deployments"), ("create", "pods")],
    "webhook": [("get", "inferenceservices"), ("patch", "inferenceservices"), ("list", "pods"), ("list", "secrets")],
}


@pytest.mark.parametrize("name", ["operator", "webhook"])
def test_scope_list_grants_rights_only_in_its_namespaces(kubectl: Kubectl, other: Kubectl, name: str) -> None:
    release = kubectl.namespace
    grant(kubectl, f"scope.namespaces={{{other.namespace}}}")
    account = f"system:serviceaccount:{release}:{release}-{name}"
    try:
        inside, everywhere = ("-n", other.namespace), ("--all-namespaces",)
        first = INSIDE[name][0]
        eventually_sync(lambda: may(kubectl, account, *first, *inside), "the roles are in force")
        for right in INSIDE[name]:
            assert may(kubectl, account, *right, *inside), right
            assert not may(kubectl, account, *right, "-n", "default"), right
            assert not may(kubectl, account, *right, *everywhere), right
        for right in NOWHERE[name]:
            assert not may(kubectl, account, *right, *inside), right
        if name == "operator":
            assert may(kubectl, account, "watch", "configmaps/inferenceservice-config", "-n", release)
            assert not may(kubectl, account, "watch", "configmaps", "-n", release)
            assert may(kubectl, account, "update", f"leases/{release}-operator", "-n", release)
    finally:
        kubectl("delete", "clusterrole,clusterrolebinding", f"{release}-webhook")


async def test_scope_list_operator_serves_with_the_shipped_roles_and_ignores_other_namespaces(
    api_server: Cluster, kubectl: Kubectl, client: KubeClient, other: Kubectl, tmp_path: Path
) -> None:
    """The release is in one namespace, hosts are in scope in another, and a third is out of scope."""
    release = kubectl.namespace
    values = (f"scope.namespaces={{{other.namespace}}}", "webhook.enabled=false")
    await asyncio.to_thread(grant, kubectl, *values)
    await asyncio.to_thread(configure, kubectl)
    with new_namespace(api_server) as outside:
        for namespace in (outside, other):
            await asyncio.to_thread(apply, namespace, make.host_object(), make.model_object())
        before = versions(outside)
        own = as_account(api_server.kubeconfig, kubectl, f"{release}-operator", tmp_path)
        log = tmp_path / "log"
        async with kubelet(client, other.namespace, HOST) as (_, port):
            settings = {
                "MANYSERVE_WATCH_NAMESPACES": other.namespace,
                "MANYSERVE_AGENT_PORT": str(port),
                "MANYSERVE_LEASE": f"{release}-operator",
            }
            with program(own, release, log, settings=settings) as running:
                await eventually_in_thread(lambda: is_ready(other), f"the model is ready: {log}")
                assert read(running.health, "/readyz") == "ok"
                assert 'manyserve_objects{kind="TrainedModel"} 1.0' in read(running.metrics, "/metrics")
                assert versions(outside) == before
        assert "forbidden" not in log.read_text()


def test_scope_list_webhook_starts_and_registers_with_the_shipped_roles(
    api_server: Cluster, kubectl: Kubectl, other: Kubectl, tmp_path: Path
) -> None:
    release, log = kubectl.namespace, tmp_path / "log"
    name = f"{release}-webhook"
    configure(kubectl)
    grant(kubectl, f"scope.namespaces={{{other.namespace}}}", kinds=(*KINDS, *REGISTERED))
    settings = {
        "MANYSERVE_WATCH_NAMESPACES": other.namespace,
        "MANYSERVE_WEBHOOK_PORT": str(free_port()),
        "MANYSERVE_WEBHOOK_SERVICE": name,
        "MANYSERVE_WEBHOOK_SECRET": f"{name}-certificate",
        "MANYSERVE_WEBHOOK_CONFIGURATION": name,
    }
    try:
        own = as_account(api_server.kubeconfig, kubectl, name, tmp_path)
        with program(own, release, log, *WEBHOOK, settings=settings) as running:
            eventually_sync(lambda: read(running.metrics, "/readyz") == "ok\n", f"it is ready: {log}")
        assert "forbidden" not in log.read_text()
        (hook,) = kubectl.get("validatingwebhookconfiguration", name)["webhooks"]
        assert hook["clientConfig"]["caBundle"]
        assert hook["namespaceSelector"]["matchExpressions"] == [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [other.namespace]}
        ]
    finally:
        kubectl("delete", "clusterrole,clusterrolebinding,validatingwebhookconfiguration", name)


# ---- a selector


def selected(kubectl: Kubectl) -> Scope:
    """Return the scope of the namespaces that are labelled with this test's name."""
    return Scope(selector=LabelSelector.model_validate({"matchLabels": {"scope": kubectl.namespace}}))


@asynccontextmanager
async def operating(kubectl: Kubectl, client: KubeClient, scope: Scope) -> AsyncIterator[Stage]:
    """Run an operator with a scope, and a kubelet in kubectl's namespace."""
    await asyncio.to_thread(configure, kubectl)
    async with kubelet(client, kubectl.namespace, HOST) as (fake, port):
        settings = OperatorSettings(
            namespace=kubectl.namespace,
            watch_namespaces=scope.namespaces,
            namespace_selector=scope.selector,
            agent_port=port,
        )
        operator = Operator(client, settings)
        await operator.start()
        try:
            await eventually(lambda: not operator.readiness_problem())
            yield Stage(kubectl, fake, operator, port)
            assert operator.liveness_problem() is None
        finally:
            await operator.stop()


def label(kubectl: Kubectl, value: str | None) -> None:
    """Label kubectl's namespace, or remove the label."""
    kubectl("label", "namespace", kubectl.namespace, f"scope={value}" if value else "scope-", "--overwrite")


async def test_scope_selector_serves_a_labelled_namespace_and_keeps_its_objects_after(
    kubectl: Kubectl, client: KubeClient, other: Kubectl, figures: Figures
) -> None:
    await asyncio.to_thread(label, kubectl, kubectl.namespace)
    await asyncio.to_thread(apply, other, make.host_object(), make.model_object())
    untouched = versions(other)
    async with operating(kubectl, client, selected(kubectl)) as stage:
        stage.apply(make.host_object(), make.model_object())
        await eventually_in_thread(lambda: is_ready(kubectl), "the host in scope serves")
        assert versions(other) == untouched

        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.to_thread(label, other, kubectl.namespace)
        await eventually_in_thread(
            lambda: placed(other) == [MODEL], "the namespace that got the label is served", SECONDS
        )
        figures.take(
            "a namespace enters the scope: its models are placed after", loop.time() - began, "s", below=SECONDS
        )
        await eventually_in_thread(lambda: condition(other.get("isvc", HOST)), "its host has a status")

        await asyncio.to_thread(label, other, None)
        await eventually_in_thread(
            lambda: not stage.operator._state.hosts.keys() - {(kubectl.namespace, HOST)}, "it has left"
        )
        await asyncio.to_thread(apply, other, make.model_object("later"))
        await asyncio.to_thread(other, "label", "isvc", HOST, "changed=yes")
        unserved = versions(other)
        assert {"Service/triton-mms", "Deployment/triton-mms-predictor-default"} <= unserved.keys()
        stage.apply(make.model_object("witness"))
        await eventually_in_thread(lambda: "witness" in stage.placed(), "the operator goes on elsewhere")
        await asyncio.to_thread(other, "delete", "tm", "later")
        stage.kubectl("delete", "tm", "witness")
        await eventually_in_thread(lambda: stage.placed() == [MODEL], "and on")
        assert versions(other) == {name: version for name, version in unserved.items() if name != "TrainedModel/later"}
        assert placed(other) == [MODEL]

        await asyncio.to_thread(apply, other, make.model_object("again"))
        await asyncio.to_thread(label, other, kubectl.namespace)
        await eventually_in_thread(
            lambda: placed(other) == ["again", MODEL], "with the label it is served again", SECONDS
        )


def test_scope_selector_webhook_reviews_a_labelled_namespace(
    api_server: Cluster, kubectl: Kubectl, tmp_path: Path
) -> None:
    configure(kubectl)
    label(kubectl, kubectl.namespace)
    reader = f"scope-{kubectl.namespace}"
    account = f"{kubectl.namespace}:manyserve-{kubectl.namespace}"
    kubectl("create", "clusterrole", reader, "--verb=list,watch", "--resource=namespaces")
    kubectl("create", "clusterrolebinding", reader, f"--clusterrole={reader}", f"--serviceaccount={account}")
    selector = json.dumps({"matchLabels": {"scope": kubectl.namespace}})
    try:
        with webhook(api_server.kubeconfig, kubectl, tmp_path, more={"MANYSERVE_NAMESPACE_SELECTOR": selector}):
            label(kubectl, None)
            eventually_sync(lambda: not is_asked(kubectl), "an object out of scope is accepted")
            label(kubectl, kubectl.namespace)
            eventually_sync(lambda: is_asked(kubectl), "an object in scope is reviewed")
    finally:
        kubectl("delete", "clusterrole,clusterrolebinding", reader)
