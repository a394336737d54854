"""An API server for the webhook, in memory: objects by path, resourceVersions, lists and watches."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.cluster.access import Access
from manyserve.cluster.client import KubeHttp
from tests.support.make import Manifest


class FakeApi:
    """Keeps objects by their path; `before_put` lets a test be the other one who writes first."""

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.writes: list[str] = []
        self.before_put: list[Manifest] = []
        self.broken = False
        self._version = 0
        self._watchers: list[tuple[str, asyncio.Queue[Manifest]]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._any)
        self._server = TestServer(app)

    async def __aenter__(self) -> KubeHttp:
        await self._server.start_server()
        self._client = KubeHttp(Access(str(self._server.make_url("")).rstrip("/")))
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
        await self._server.close()

    def put(self, path: str, thing: Manifest) -> Manifest:
        """Store an object, and tell those who watch."""
        self._version += 1
        sort = "MODIFIED" if path in self.objects else "ADDED"
        stored = thing | {"metadata": thing["metadata"] | {"resourceVersion": str(self._version)}}
        self.objects[path] = stored
        for folder, queue in self._watchers:
            if _is_in(path, folder):
                queue.put_nowait({"type": sort, "object": stored})
        return stored

    async def _any(self, request: web.Request) -> web.StreamResponse:
        if self.broken:
            return web.Response(status=500, text="broken")
        if request.method == "GET":
            return await self._get(request)
        body = await request.json()
        if request.method == "PUT" and self.before_put:
            self.put(request.path, self.before_put.pop())
        old = self.objects.get(request.path)
        if old is None:
            return _error(404, "NotFound")
        version = body["metadata"].get("resourceVersion")
        if version is not None and version != old["metadata"]["resourceVersion"]:
            return _error(409, "Conflict")
        self.writes.append(f"{request.method} {request.path}")
        return web.json_response(self.put(request.path, body if request.method == "PUT" else _merged(old, body)))

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/version":
            return web.json_response({"gitVersion": "v1"})
        if request.path in self.objects:
            return web.json_response(self.objects[request.path])
        if "watch" in request.query:
            return await self._watch(request)
        items = [each for path, each in self.objects.items() if _is_in(path, request.path)]
        if not items and request.path.split("/")[-1] not in ("inferenceservices", "trainedmodels", "configmaps"):
            return _error(404, "NotFound")
        return web.json_response({"metadata": {"resourceVersion": str(self._version)}, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[Manifest] = asyncio.Queue()
        watcher = (request.path, queue)
        self._watchers.append(watcher)
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(json.dumps(await queue.get()).encode() + b"\n")
        finally:
            self._watchers.remove(watcher)


def _is_in(path: str, folder: str) -> bool:
    """Tell whether an object is listed under a path, of its namespace or of all."""
    return folder in (path.rpartition("/")[0], re.sub("/namespaces/[^/]+", "", path).rpartition("/")[0])


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    kept = {key: value for key, value in old.items() if key not in patch}
    return kept | {key: _merged(old.get(key), value) for key, value in patch.items() if value is not None}


def _error(code: int, reason: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "reason": reason, "message": reason}, status=code)
