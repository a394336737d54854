"""Users who create models at a steady pace, each as a dry run, and what was refused: a webhook's load.

Beside them somebody connects anew again and again, and trusts what was registered a second ago, as an API server
does that hears late: one that runs well keeps its connections, and would not notice a certificate of a CA that it
cannot know yet.
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
from manyserve.webhook.certs.ca_bundle import CONFIGURATION
from tests.support import make
from tests.support.webhook import SERVICE, Webhook

RATE = 200.0
"""Creates a second, if the machine can."""
ASKERS = 20
CONNECTORS = 10
LATE = 1.0
"""Seconds from reading what is registered to connecting."""


@dataclass
class LoadResult:
    """What became of the requests."""

    webhook: Webhook
    answered: int = 0
    connected: int = 0
    refused: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """How many creates a second were answered."""
        return self.answered / (time.monotonic() - self.began)

    async def create(self, session: aiohttp.ClientSession) -> None:
        """Create models, again and again, until cancelled."""
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
        """Connect to the webhook as whoever trusts what is registered, again and again, until cancelled."""
        while True:
            found = await client.get(CONFIGURATION, "", self.webhook.registration)
            bundle = base64.b64decode(found["webhooks"][0]["clientConfig"]["caBundle"]).decode()
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
    """Have users ask for as long as this is entered."""
    access = find_cluster_config({"KUBECONFIG": str(server.kubeconfig)})
    headers = {"Authorization": f"Bearer {access.token()}"}
    connector = aiohttp.TCPConnector(limit=ASKERS, ssl=access.tls or True)
    async with aiohttp.ClientSession(access.server, connector=connector, headers=headers) as session:
        result = LoadResult(webhook)
        tasks = [asyncio.create_task(result.create(session)) for _ in range(ASKERS)]
        tasks += [asyncio.create_task(result.connect(client)) for _ in range(CONNECTORS)]
        try:
            yield result
        finally:
            ended = [each for each in tasks if each.done()]
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in ended:
                each.result()
