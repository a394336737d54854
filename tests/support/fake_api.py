"""API server in memory: scripted answers, scripted watches, stored objects, and a record of all requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import ClusterConfig, Token
from tests.support.merge_patch import merge_patch
from tests.support.watch_lines import Manifest, event

Answer = tuple[int, dict[str, str], Manifest]
"""A status, headers and a body."""
SILENT = object()
"""The end of a script of a watch that stays open, and then sends the changes of `FakeApi.put`."""
PLURALS = ("inferenceservices", "trainedmodels", "configmaps")
"""Kinds that a stateful server lists even when it has none of them."""


class Request(NamedTuple):
    """A received request."""

    verb: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Manifest | None


class FakeApi:
    """Answers with the first of: an error, if `broken`; `answers`; `by_path`; a watch; a read; a write.

    A stateful server keeps `objects` by path and checks resourceVersions. Any other lists `items` for each GET, and
    answers a write by `reply`.
    """

    def __init__(self, *, stateful: bool = False) -> None:
        self.stateful = stateful
        self.broken = False
        self.requests: list[Request] = []
        self.writes: list[str] = []
        """Verb and path of each write that was accepted."""
        self.answers: deque[Answer] = deque()
        """Answers to the next requests, for any path."""
        self.by_path: dict[str, Answer] = {"/version": (200, {}, {"gitVersion": "v1"})}
        self.scripts: deque[list[bytes | object]] = deque()
        """Lines of the next watches."""
        self.items: list[Manifest] = []
        self.version = 1
        self.reply: Callable[[str, str, Manifest | None], Manifest] = lambda _verb, _path, body: body or {}
        self.objects: dict[str, Manifest] = {}
        self.before_put: list[Manifest] = []
        """Objects that another client writes before the next PUTs."""
        self._watchers: list[tuple[str, asyncio.Queue[bytes]]] = []

    @property
    def lists(self) -> int:
        """The number of GET requests that are no watch."""
        return sum(each.verb == "GET" and "watch" not in each.query for each in self.requests)

    def watched(self) -> list[str]:
        """Return the resourceVersion of each watch."""
        return [each.query["resourceVersion"] for each in self.requests if "watch" in each.query]

    def put(self, path: str, thing: Manifest) -> Manifest:
        """Store an object and send it to the open watches."""
        self.version += 1
        sort = "MODIFIED" if path in self.objects else "ADDED"
        stored = thing | {"metadata": thing["metadata"] | {"resourceVersion": str(self.version)}}
        self.objects[path] = stored
        for folder, queue in self._watchers:
            if _is_in(path, folder):
                queue.put_nowait(event(sort, stored))
        return stored

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        query = dict(request.query)
        self.requests.append(Request(request.method, request.path, query, dict(request.headers), body))
        if self.broken:
            return web.Response(status=500, text="broken")
        if answer := self.answers.popleft() if self.answers else self.by_path.get(request.path):
            status, headers, content = answer
            return web.json_response(content, status=status, headers=headers)
        if "watch" in query:
            return await self._watch(request)
        if request.method == "GET":
            return self._read(request.path)
        return self._write(request.method, request.path, body)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in self.scripts.popleft() if self.scripts else [SILENT]:
            if isinstance(line, bytes):
                await response.write(line)
            else:
                await self._send_changes(request.path, response)
        return response

    async def _send_changes(self, folder: str, response: web.StreamResponse) -> None:
        watcher = (folder, asyncio.Queue[bytes]())
        self._watchers.append(watcher)
        try:
            while True:
                await response.write(await watcher[1].get())
        finally:
            self._watchers.remove(watcher)

    def _read(self, path: str) -> web.Response:
        if path in self.objects:
            return web.json_response(self.objects[path])
        items = [*self.items, *(each for name, each in self.objects.items() if _is_in(name, path))]
        if self.stateful and not items and path.rpartition("/")[2] not in PLURALS:
            return _error(404, "NotFound")
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    def _write(self, verb: str, path: str, body: Any) -> web.Response:
        if not self.stateful:
            self.writes.append(f"{verb} {path}")
            return web.json_response(self.reply(verb, path, body))
        if verb == "PUT" and self.before_put:
            self.put(path, self.before_put.pop())
        if (old := self.objects.get(path)) is None:
            return _error(404, "NotFound")
        if body["metadata"].get("resourceVersion") not in (None, old["metadata"]["resourceVersion"]):
            return _error(409, "Conflict")
        self.writes.append(f"{verb} {path}")
        return web.json_response(self.put(path, body if verb == "PUT" else merge_patch(old, body)))


@asynccontextmanager
async def served(api: FakeApi, token: Token | None = None, **options: Any) -> AsyncIterator[KubeClient]:
    """Serve on a free port, and yield a client with these options."""
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", api.handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.01)
    access = ClusterConfig(str(server.make_url("")).rstrip("/"), token=token or Token(lambda: None))
    async with KubeClient(access, seconds=10.0, **options) as client:
        yield client
    await server.close()


def _is_in(path: str, folder: str) -> bool:
    """Return whether a list at a path has the object: of its namespace, or of all."""
    return folder in (path.rpartition("/")[0], re.sub("/namespaces/[^/]+", "", path).rpartition("/")[0])


def _error(code: int, reason: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "reason": reason, "message": reason}, status=code)
