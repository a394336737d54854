"""Servers of the running agent: stores that are slow, or send bodies too large for memory, and its model server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.download.base import CHUNK_BYTES
from tests.agent.support import FakeTriton


async def drip(release: asyncio.Event, request: web.Request, size: int, piece: int) -> web.StreamResponse:
    """Answer with `size` bytes: with a burst almost as long as a chunk of the agent, then one piece a second.

    It ends at the release.
    """
    response = web.StreamResponse(headers={"Content-Length": str(size), "ETag": '"1"'})
    await response.prepare(request)
    if request.method == "GET":
        await response.write(bytes(CHUNK_BYTES - 2 * piece))
    while request.method == "GET" and not release.is_set():
        await response.write(bytes(piece))
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await release.wait()
    return response


async def stream(request: web.Request, size: int | None, parts: Iterable[bytes]) -> web.StreamResponse:
    """Answer with parts of a body that is too large for memory; without a size its length is not declared."""
    response = web.StreamResponse(headers={"Content-Length": str(size)} if size is not None else {})
    await response.prepare(request)
    with suppress(ConnectionError):
        for part in parts if request.method == "GET" else ():
            await response.write(part)
    return response


async def _live(_: web.Request) -> web.Response:
    return web.Response()


def triton_server(triton: FakeTriton) -> TestServer:
    """Return the server of the stand-in, with the paths that the client of MLServer requests in addition."""

    async def ready(request: web.Request) -> web.Response:
        state, _ = triton.states.get(request.match_info["name"], ("", ""))
        return web.Response(status=200 if state == "READY" else 400)

    app = triton.app()
    app.router.add_get("/v2/health/live", _live)
    app.router.add_get("/v2/models/{name}/ready", ready)
    return TestServer(app)
