"""Environment of most contract tests: a namespace with an operator and a fake kubelet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.api.routerenv import ROUTER_PORT
from manyserve.cluster.client import KubeClient
from manyserve.operator import metrics
from manyserve.operator.operator import Operator
from manyserve.operator.settings import OperatorSettings
from manyserve.plan.model_config import text_of
from tests.contract.kubelet import Kubelet, kubelet
from tests.support import make
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually
from tests.support.kubectl import Kubectl, condition
from tests.support.webhook import Webhook, webhook

Manifest = dict[str, Any]
HOST = "triton-mms"


@dataclass
class Stage:
    """A namespace in which the operator runs."""

    kubectl: Kubectl
    kubelet: Kubelet
    operator: Operator
    agent_port: int

    def apply(self, *manifests: Manifest) -> None:
        """Apply objects into the namespace."""
        for manifest in manifests:
            metadata = {"name": manifest["metadata"]["name"], "namespace": self.kubectl.namespace}
            self.kubectl.apply(manifest | {"metadata": metadata})

    def ready(self, kind: str, name: str) -> Manifest:
        """Return the condition Ready."""
        return condition(self.kubectl.get(kind, name))

    def placed(self) -> list[str]:
        """Return the models in `models.json`."""
        if not self.kubectl.exists("configmap", names.model_config(HOST)):
            return []
        text = text_of(self.kubectl.get("configmap", names.model_config(HOST)))
        return [each["modelName"] for each in json.loads(text or "[]")]


def configure(kubectl: Kubectl, *, multi_model: bool = True) -> None:
    """Create a configuration with Triton and routers."""
    triton = {
        "image": "example/tritonserver",
        "defaultImageVersion": "1",
        "supportedFrameworks": make.FRAMEWORKS,
        "multiModelServer": multi_model,
    }
    sections = {"predictors": {"triton": triton}, "router": {"image": "example/manyserve"}}
    literals = [f"--from-literal={key}={json.dumps(section)}" for key, section in sections.items()]
    kubectl("create", "configmap", "inferenceservice-config", *literals)


@asynccontextmanager
async def running(
    client: KubeClient,
    namespace: str,
    agent_port: int,
    *,
    configured_in: str | None = None,
    others: tuple[str, ...] = (),
    router_port: int = ROUTER_PORT,
    network_policies: bool = False,
) -> AsyncIterator[Operator]:
    """Run an operator for one namespace and others; its configuration may be in another one."""
    settings = OperatorSettings(
        namespace=configured_in or namespace,
        watch_namespaces=(namespace, *others),
        agent_port=agent_port,
        router_port=router_port,
        network_policies=network_policies,
    )
    operator = Operator(client, settings)
    await operator.start()
    try:
        yield operator
        assert operator.liveness_problem() is None
    finally:
        await operator.stop()


@asynccontextmanager
async def staged(kubectl: Kubectl, client: KubeClient) -> AsyncIterator[Stage]:
    """Run an operator and a kubelet in the namespace."""
    await asyncio.to_thread(configure, kubectl)
    async with (
        kubelet(client, kubectl.namespace, HOST) as (fake, port),
        running(client, kubectl.namespace, port) as operator,
    ):
        await eventually(lambda: not operator.readiness_problem())
        yield Stage(kubectl, fake, operator, port)


def runs(*results: str) -> float:
    """Return the number of reconciles of this process with these results; a defect is an error, too."""
    return sum(float(metrics.RECONCILES.labels(metrics.CONTROLLER, result)._value.get()) for result in results)


def defects() -> float:
    """Return the number of reconciles of this process that failed by a defect."""
    return float(metrics.RECONCILE_PANICS._value.get())


def is_idle(operator: Operator) -> bool:
    """Return whether no reconcile and no status write is under way or waits."""
    statuses = operator._statuses
    return not operator._queue._processing and not statuses.busy and not statuses._delayed


async def replanned(operator: Operator) -> None:
    """Have every host reconciled once more, and wait until the writes of that have ended."""
    wanted = runs(*metrics.RESULTS) + len(operator._state._named())
    operator._state.enqueue_all()
    await eventually(lambda: runs(*metrics.RESULTS) >= wanted and is_idle(operator), "all hosts are reconciled again")


async def writes_stop(kubectl: Kubectl, kinds: str, *operators: Operator) -> None:
    """Wait until a reconcile of every host, by each operator, changes no object of these kinds."""

    async def is_quiet() -> bool:
        before = await asyncio.to_thread(_versions, kubectl, kinds)
        for operator in operators:
            await replanned(operator)
        return before == await asyncio.to_thread(_versions, kubectl, kinds)

    await eventually(is_quiet, "a reconcile of every host changes nothing", limit=60)


def _versions(kubectl: Kubectl, kinds: str) -> list[str]:
    return [each["metadata"]["resourceVersion"] for each in kubectl.list(kinds)]


@contextmanager
def webhook_in_own_namespace(server: Cluster, folder: Path) -> Iterator[Webhook]:
    """Run the webhook, registered for a namespace of its own."""
    with new_namespace(server) as kubectl:
        configure(kubectl)
        with webhook(server.kubeconfig, kubectl, folder) as running:
            yield running
