"""A webhook that listens on the loopback interface with TLS, and its client."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from manyserve.http_server import HttpServer
from manyserve.webhook.cache import Cache
from manyserve.webhook.callers import ANYBODY, Callers
from manyserve.webhook.certs.check import Issued, ensure
from manyserve.webhook.certs.rotation import ReloadableTls
from manyserve.webhook.handlers import Handlers, Health, secure_app
from manyserve.webhook.metrics import Metrics

NAMES = ("localhost",)
ISSUED = ensure(None, NAMES, datetime.now(UTC))


@dataclass
class RunningWebhook:
    """A listening webhook, with its client."""

    port: int
    tls: ReloadableTls
    handlers: Handlers
    metrics: Metrics
    client: aiohttp.ClientSession
    not_ready: list[str]

    def url(self, path: str = "/validate") -> str:
        return f"https://localhost:{self.port}{path}"

    async def post(self, body: Any, **options: Any) -> tuple[int, str]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.post(self.url(), data=io.BytesIO(data), **options) as answer:
            return answer.status, await answer.text()


def trusting(issued: Issued) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=issued.bundle.decode())


@asynccontextmanager
async def serving(
    cache: Cache, *, callers: Callers = ANYBODY, client_tls: ssl.SSLContext | None = None, connections: int = 512
) -> AsyncIterator[RunningWebhook]:
    """Run a webhook with this cache."""
    tls, metrics, not_ready = ReloadableTls(), Metrics(), list[str]()
    callers.trust(tls.context)
    tls.load(ISSUED.leaf)
    health = Health(lambda: None, lambda: next(iter(not_ready), None))
    handlers = Handlers(cache, metrics, health, callers)
    server = HttpServer(secure_app(handlers), 0, tls.context, host="localhost", connections=connections)
    port = await server.start()
    connector = aiohttp.TCPConnector(ssl=client_tls or trusting(ISSUED))
    try:
        async with aiohttp.ClientSession(connector=connector) as client:
            yield RunningWebhook(port, tls, handlers, metrics, client, not_ready)
    finally:
        await server.stop()
