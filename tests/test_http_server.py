"""HTTP server of all programs. The webhook's tests cover TLS and idle connections."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
import uvloop
from aiohttp import web

from manyserve.api.errors import StartupError
from manyserve.http_server import HttpServer


async def read(session: aiohttp.ClientSession, port: int) -> str:
    async with session.get(f"http://127.0.0.1:{port}/") as response:
        return await response.text()


async def test_http_server_answers_a_running_request_before_it_stops() -> None:
    asked, free = asyncio.Event(), asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        asked.set()
        await free.wait()
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", answer)
    server = HttpServer(app, 0, host="127.0.0.1", stop_seconds=10.0)
    port = await server.start()
    async with aiohttp.ClientSession() as session:
        running = asyncio.create_task(read(session, port))
        await asked.wait()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        free.set()
        assert await running == "done"
        await stopping
        with pytest.raises(aiohttp.ClientConnectorError):
            await read(session, port)


def test_http_server_names_a_port_in_use_with_each_event_loop() -> None:
    async def bind_twice() -> None:
        server = HttpServer(web.Application(), 0)
        port = await server.start()
        with pytest.raises(StartupError, match=f"^cannot bind 0.0.0.0:{port}: address already in use$"):
            await HttpServer(web.Application(), port).start()
        await server.stop()

    asyncio.run(bind_twice())
    uvloop.run(bind_twice())
