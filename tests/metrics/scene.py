"""The real programs with something to measure: an operator, a webhook and an agent, scraped by a real Prometheus.

The API server is real, too. The operator's pods are those of the fake kubelet, and the agent is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.paths import Cluster
from manyserve.api.names import selector
from manyserve.cluster.client import KubeClient
from manyserve.plan.status.model import NO_MEMORY
from manyserve.plan.storage.claims import CLAIM_NOT_FOUND
from tests.chart.rendering import the
from tests.contract.kubelet import Kubelet, kubelet
from tests.contract.stage import HOST
from tests.metrics.prometheus import Manifest, Prometheus, Target, prometheus, scrape_config
from tests.metrics.test_alerts import rule_file
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl, Refused, condition
from tests.support.programs import Program
from tests.support.webhook import Webhook, webhook_beside
from tests.tenants.agent_process import AgentProcess, agent_process
from tests.tenants.operating import operating, ready

RELEASE = "manyserve-system"
"""The namespace that the chart is rendered for."""
ENABLED = ("monitoring.serviceMonitor.enabled=true", "monitoring.podMonitor.enabled=true")
TARGETS = 4
"""Operator, webhook, agent and API server."""


@dataclass(frozen=True)
class Scene:
    """The running programs, and the Prometheus that scrapes them."""

    kubectl: Kubectl
    kubelet: Kubelet
    operator: Program
    webhook: Webhook
    agent: AgentProcess
    prometheus: Prometheus

    async def apply(self, name: str, **fields: Any) -> None:
        """Create a model; a refusal by the webhook is one of the things to measure."""
        with suppress(Refused):
            await asyncio.to_thread(self.kubectl.create, make.model_object(name, **fields))

    async def has_reason(self, name: str, reason: str) -> None:
        """Wait until a model is Ready, with an empty reason, or not Ready with this one."""
        await eventually_in_thread(
            lambda: (
                condition(self.kubectl.get("tm", name)).get("reason", "") == reason
                and bool(condition(self.kubectl.get("tm", name)))
            ),
            f"{name} has the reason {reason!r}",
        )

    async def act(self) -> None:
        """Have models that are ready, fail, wait, and are refused; and downloads of the agent with each result."""
        self.kubelet.fails |= {"broken", "claimed"}
        for name in ("fine", "broken"):
            await self.apply(name, memory="512Mi")
        await self.has_reason("fine", "")
        await self.has_reason("broken", "LoadFailed")
        await self.apply("refused", framework="no-framework")
        await self.apply("claimed", memory="1Mi", uri="pvc://missing/model")
        await self.has_reason("claimed", CLAIM_NOT_FOUND)
        await self.agent.loads("good", self.agent.entry("missing"))
        await self.agent.has("missing", "DownloadFailed")

    async def fail_open(self) -> None:
        """End the webhook, so that the API server admits a model without a review; its host has too little memory."""
        self.webhook.program.process.kill()
        await self.apply("large", memory="8Gi")
        await self.has_reason("large", NO_MEMORY)


def jobs(operator: int, webhook: int, agent: int, namespace: str) -> list[Manifest]:
    """Return the jobs of the chart's monitors, with the programs of this machine as their targets."""
    targets = {
        "manyserve-operator": Target(operator, RELEASE, "operator-0", {}, "manyserve-operator"),
        "manyserve-webhook": Target(webhook, RELEASE, "webhook-0", {}, "manyserve-webhook"),
        "manyserve-hosts": Target(agent, namespace, f"{HOST}-0", selector(HOST)),
    }
    kinds = {"manyserve-hosts": "PodMonitor"}
    monitors = {name: the(kinds.get(name, "ServiceMonitor"), name, *ENABLED) for name in targets}
    return [
        scrape_config(monitor, endpoint, [targets[name]])
        for name, monitor in monitors.items()
        for endpoint in monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    ]


def api_server_job(server: Cluster) -> Manifest:
    """Return the job of the API server, which every cluster with the Prometheus Operator has."""
    config = json.loads(server.kubeconfig.read_text())
    return {
        "job_name": "apiserver",
        "scheme": "https",
        "authorization": {"credentials": config["users"][0]["user"]["token"]},
        "tls_config": {"ca_file": str(server.folder / "pki" / "ca.crt")},
        "static_configs": [{"targets": [server.server.partition("://")[2]]}],
    }


@asynccontextmanager
async def scene(
    server: Cluster, kubectl: Kubectl, client: KubeClient, folder: Path, interval: str
) -> AsyncIterator[Scene]:
    """Run the programs with one host, and Prometheus; every target was scraped twice when this yields."""
    async with AsyncExitStack() as stack:
        fake, port = await stack.enter_async_context(kubelet(client, kubectl.namespace, HOST))
        own = {"MANYSERVE_WATCH_NAMESPACES": kubectl.namespace}
        operator = await stack.enter_async_context(operating(server, kubectl, folder / "operator.log", port, **own))
        webhook = await stack.enter_async_context(webhook_beside(server.kubeconfig, kubectl, folder))
        (folder / "agent").mkdir()
        agent = await stack.enter_async_context(agent_process(folder / "agent"))
        await asyncio.to_thread(kubectl.create, make.host_object(HOST, memory="4Gi"))
        await ready(kubectl, "isvc", HOST)
        scraped = jobs(operator.metrics, webhook.program.metrics, agent.port, kubectl.namespace)
        started = stack.enter_context(
            prometheus(folder, [*scraped, api_server_job(server)], rule_file(folder), interval)
        )
        await eventually_in_thread(lambda: scrapes(started) == TARGETS, "every target was scraped twice", 60)
        yield Scene(kubectl, fake, operator, webhook, agent, started)


def scrapes(running: Prometheus) -> int:
    """Return the number of targets that were scraped twice with success. A failed scrape fails the test."""
    problems = [each["lastError"] for each in running.targets() if each["lastError"]]
    assert problems == []
    return sum(value >= 2 for _, value in running.query("sum_over_time(up[5m])"))
