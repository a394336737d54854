"""HTTP server of all programs. The webhook's tests cover TLS and idle connections."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
import uvloop
from aiohttp import web

from manyserve.api.errors import StartupError
from manyserve.http_server import MAX_HEADER_BYTES, MAX_HEADERS, HttpServer


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


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({f"X-{number}": "x" for number in range(MAX_HEADERS - 5)}, 200),
        ({f"X-{number}": "x" for number in range(MAX_HEADERS + 1)}, 400),
        ({"Authorization": "x" * MAX_HEADER_BYTES * 2}, 400),
    ],
    ids=["some", "too many", "too long"],
)
async def test_http_server_bounds_the_headers_of_a_request(headers: dict[str, str], status: int) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", answer)
    server = HttpServer(app, 0, host="127.0.0.1")
    port = await server.start()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/", headers=headers) as response,
        ):
            assert response.status == status
    finally:
        await server.stop()


def test_http_server_names_a_port_in_use_with_each_event_loop() -> None:
    async def bind_twice() -> None:
        server = HttpServer(web.Application(), 0)
        port = await server.start()
        with pytest.raises(StartupError, match=f"^cannot bind 0.0.0.0:{port}: address already in use$"):
            await HttpServer(web.Application(), port).start()
        await server.stop()

    asyncio.run(bind_twice())
    uvloop.run(bind_twice())
