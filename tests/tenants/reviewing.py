"""Webhook as a process that the API server calls, and honest creates beside reviews of an attacker."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from localcluster.paths import Cluster
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import ClusterError
from tests.contract.stage import HOST, configure
from tests.support import chart, make
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl, Refused
from tests.support.placements import Placements
from tests.support.webhook import Webhook, webhook_beside
from tests.webhook.reviews import review_of

Manifest = dict[str, Any]
MEMORY = "4Gi"
NO_MEMORY = "used by"
"""A part of the sentence by which a create is refused for lack of memory."""


@dataclass
class Reviewing:
    """A namespace with a host without models, and its webhook."""

    client: KubeClient
    webhook: Webhook
    authority: str
    numbers: count[int] = field(default_factory=count)

    async def honest_create(self) -> tuple[float, str]:
        """Create a small model and delete it. Return the seconds of the create, and the refusal if there is one."""
        namespace, name = self.webhook.kubectl.namespace, f"honest-{next(self.numbers)}"
        began = time.monotonic()
        try:
            await Placements(self.client, namespace).create(kinds.TRAINED_MODEL, make.model_object(name, memory="1Mi"))
        except ClusterError as error:
            return time.monotonic() - began, str(error)
        seconds = time.monotonic() - began
        await self.client.delete(kinds.TRAINED_MODEL, namespace, name)
        return seconds, ""

    def forged(self, uid: str = "", memory: str = MEMORY) -> Manifest:
        """Return the review of a model that takes memory of the host, as any client may send it."""
        model = make.model_object(f"forged-{next(self.numbers)}", memory=memory)
        model["metadata"]["uid"] = uid or model["metadata"]["name"]
        return review_of(model, namespace=self.webhook.kubectl.namespace)

    async def post_forged(self, pause: float) -> None:
        """Post forged reviews until cancelled, with a pause in seconds between two."""
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=self.authority))
        async with aiohttp.ClientSession(connector=connector) as session:
            while True:
                body = io.BytesIO(json.dumps(self.forged()).encode())
                async with session.post(f"https://localhost:{self.webhook.port}/validate", data=body) as response:
                    assert response.status == 200
                await asyncio.sleep(pause)

    def probes(self) -> dict[str, float]:
        """Return the URLs of the webhook's probes with their timeouts in seconds. Readiness is probed over TLS."""
        seconds = chart.probe_seconds("webhook")
        plain, secure = f"http://127.0.0.1:{self.webhook.program.metrics}", f"https://127.0.0.1:{self.webhook.port}"
        return {f"{plain}/healthz": seconds["/healthz"], f"{secure}/readyz": seconds["/readyz"]}


@asynccontextmanager
async def reviewing(api_server: Cluster, client: KubeClient, folder: Path) -> AsyncIterator[Reviewing]:
    """Run the webhook, and create a host. A webhook without an answer refuses, so that each create was reviewed."""
    with new_namespace(api_server) as kubectl:
        await asyncio.to_thread(configure, kubectl)
        async with webhook_beside(api_server.kubeconfig, kubectl, folder, policy="Fail") as running:
            await asyncio.to_thread(kubectl.apply, kubectl.here(make.host_object(HOST, memory=MEMORY)))
            too_large = make.model_object("too-large", memory="5Gi")
            await eventually_in_thread(lambda: "4Gi" in refusal(kubectl, too_large), "the webhook knows the host")
            yield Reviewing(client, running, await asyncio.to_thread(lambda: running.authority))


def refusal(kubectl: Kubectl, manifest: Manifest) -> str:
    """Return the refusal of a create, or an empty text."""
    try:
        kubectl.try_out(manifest)
    except Refused as refused:
        return str(refused)
    return ""
