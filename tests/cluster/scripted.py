"""An API server that answers by a script: what is listed, and what each watch sends."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.cluster.access import Access, Token
from manyserve.cluster.client import KubeHttp

Manifest = dict[str, Any]
SILENT = object()
"""A watch that says nothing more and stays open."""


def model(name: str, version: int, **spec: Any) -> Manifest:
    """Return a TrainedModel as the API server would list it."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"kind": "TrainedModel", "metadata": metadata, "spec": spec}


def event(sort: str, item: Manifest) -> bytes:
    """Return a line of a watch."""
    return json.dumps({"type": sort, "object": item}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    """Return a bookmark."""
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def expired() -> bytes:
    """Return the line that says: too old."""
    return event("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})


class ScriptedServer:
    """Lists `items` at `version`; each watch takes the next script, and is silent when there is none."""

    def __init__(self) -> None:
        self.items: list[Manifest] = []
        self.version = 1
        self.scripts: deque[list[bytes | object]] = deque()
        self.answers: deque[tuple[int, dict[str, str], Manifest]] = deque()
        """Answers to come before any other, whatever is asked."""
        self.requests: list[tuple[str, str, dict[str, str], dict[str, str], Manifest | None]] = []
        self.reply: Callable[[str, str, Manifest | None], Manifest] = lambda _verb, _path, body: body or {}

    @property
    def lists(self) -> int:
        """How often all was listed."""
        return sum(1 for verb, _, query, *_ in self.requests if verb == "GET" and "watch" not in query)

    def watched(self) -> list[str]:
        """From which resourceVersions was watched."""
        return [query["resourceVersion"] for _, _, query, *_ in self.requests if "watch" in query]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        query = dict(request.query)
        self.requests.append((request.method, request.path, query, dict(request.headers), body))
        if self.answers:
            status, headers, answer = self.answers.popleft()
            return web.json_response(answer, status=status, headers=headers)
        if "watch" in query:
            return await self._watch(request)
        if request.method == "GET":
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": self.items})
        return web.json_response(self.reply(request.method, request.path, body))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in self.scripts.popleft() if self.scripts else [SILENT]:
            if not isinstance(line, bytes):
                await asyncio.Event().wait()
            else:
                await response.write(line)
        return response


@asynccontextmanager
async def served(server: ScriptedServer, token: Token | None = None) -> AsyncIterator[KubeHttp]:
    """Serve the script on a free port, and yield a client for it."""
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", server.handle)
    running = TestServer(app)
    await running.start_server(shutdown_timeout=0.01)
    access = Access(str(running.make_url("")).rstrip("/"), token=token or Token(lambda: None))
    async with KubeHttp(access, seconds=2.0) as client:
        yield client
    await running.close()
