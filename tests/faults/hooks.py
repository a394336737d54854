"""The shipped registration of the webhook with no server behind it, or with one that hangs or answers HTML."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from localcluster import pki
from localcluster.paths import Cluster
from tests.faults.env import FaultEnv
from tests.support import webhook as shipped
from tests.support.programs import free_port

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def registered(env: FaultEnv, port: int, policy: str) -> AsyncIterator[None]:
    """Register the webhook for the namespace, trusted with the certificate of `serving`."""
    authority = (pki.folder_of(env.api_server) / "ca.crt").read_bytes()
    with ExitStack() as stack:
        registration = shipped.registered(env.kubectl, port, policy, authority)
        await asyncio.to_thread(stack.enter_context, registration)
        await asyncio.sleep(2)  # the API server does not report when a registration is in force
        yield
        await asyncio.to_thread(stack.close)
        await asyncio.sleep(2)


@asynccontextmanager
async def serving(server: Cluster, answer: Answer) -> AsyncIterator[int]:
    """Answer reviews over TLS with a certificate that the API server trusts; yield the port."""
    keys = pki.folder_of(server)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(keys / "apiserver.crt", keys / "apiserver.key")
    app = web.Application()
    app.router.add_post("/validate", answer)
    listener = TestServer(app, port=free_port(), scheme="https")
    await listener.start_server(ssl=tls, shutdown_timeout=0.01)
    try:
        yield listener.port or 0
    finally:
        await listener.close()


async def hang(_request: web.Request) -> web.StreamResponse:
    """Answer after 9 s, which is too late."""
    await asyncio.sleep(9)
    return web.Response()


async def talk_html(_request: web.Request) -> web.StreamResponse:
    """Answer with an HTML page."""
    return web.Response(text="<html><body>Welcome</body></html>", content_type="text/html")
