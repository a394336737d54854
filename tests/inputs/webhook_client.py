"""Client of the webhook's TLS port: any pod that reaches the port may post anything."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.webhook import SERVICE, Webhook


@dataclass(frozen=True)
class WebhookClient:
    """A client that trusts the webhook as the API server does."""

    server: Webhook
    tls: ssl.SSLContext
    session: aiohttp.ClientSession

    async def send(self, method: str, body: bytes = b"", path: str = "/validate") -> tuple[int, str]:
        """Return the status and the text of the response."""
        url = f"https://{SERVICE}:{self.server.port}{path}"
        async with self.session.request(method, url, data=io.BytesIO(body)) as response:
            return response.status, await response.text()

    async def review(self, review: Any) -> dict[str, Any]:
        """Return the response to a review."""
        status, text = await self.send("POST", json.dumps(review).encode())
        assert status == 200, text
        response: dict[str, Any] = json.loads(text)["response"]
        return response


@asynccontextmanager
async def opened(server: Webhook, tls: ssl.SSLContext) -> AsyncIterator[WebhookClient]:
    """Open a client of the webhook."""
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield WebhookClient(server, tls, session)
