"""Load on a webhook: users create models at a steady rate, as dry runs, and refusals are counted.

A further client opens new connections and trusts the registration of a second ago, as a slow API server does. An API
server that keeps its connections would not notice a certificate of a CA that it cannot know yet.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kinds import TRAINED_MODEL
from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.webhook.certs.objects import CONFIGURATION
from tests.support import make
from tests.support.tasks import background
from tests.support.webhook import SERVICE, Webhook

RATE = 200.0
"""Creates a second, if the machine is fast enough."""
ASKERS = 20
CONNECTORS = 10
LATE = 1.0
"""Seconds from the read of the registration to the connection."""


@dataclass
class LoadResult:
    """Outcome of the requests."""

    webhook: Webhook
    answered: int = 0
    connected: int = 0
    refused: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Answered creates a second."""
        return self.answered / (time.monotonic() - self.began)

    async def create(self, session: aiohttp.ClientSession) -> None:
        """Create models in a loop until cancelled."""
        path = TRAINED_MODEL.path(self.webhook.kubectl.namespace)
        body = make.model_object() | {"metadata": {"generateName": "load-"}}
        due = time.monotonic()
        while True:
            async with session.post(path, json=body, params={"dryRun": "All"}) as answer:
                if answer.status != 201:
                    self.refused.append(f"a create: {await answer.text()}")
            self.answered += 1
            due = max(due + ASKERS / RATE, time.monotonic() - 1)
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def connect(self, client: KubeClient) -> None:
        """Connect to the webhook with the registered CA, in a loop, until cancelled."""
        while True:
            registration = await client.get(CONFIGURATION, "", self.webhook.registration)
            bundle = base64.b64decode(registration["webhooks"][0]["clientConfig"]["caBundle"]).decode()
            trust = ssl.create_default_context(cadata=bundle)
            await asyncio.sleep(LATE)
            try:
                _, writer = await asyncio.open_connection(SERVICE, self.webhook.port, ssl=trust)
            except OSError as error:
                self.refused.append(f"a connection: {error}")
            else:
                self.connected += 1
                writer.transport.abort()


@asynccontextmanager
async def user_load(server: Cluster, client: KubeClient, webhook: Webhook) -> AsyncIterator[LoadResult]:
    """Run the load for the duration of the context."""
    access = find_cluster_config({"KUBECONFIG": str(server.kubeconfig)})
    headers = {"Authorization": f"Bearer {access.token()}"}
    connector = aiohttp.TCPConnector(limit=ASKERS, ssl=access.tls or True)
    async with aiohttp.ClientSession(access.server, connector=connector, headers=headers) as session:
        result = LoadResult(webhook)
        creates = (result.create(session) for _ in range(ASKERS))
        async with background(*creates, *(result.connect(client) for _ in range(CONNECTORS))):
            yield result
