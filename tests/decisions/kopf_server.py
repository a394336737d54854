"""A fake API server for kopf: discovery, lists, and watches that end by a script."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import kopf
from aiohttp import web
from aiohttp.test_utils import TestServer

Manifest = dict[str, Any]

GROUP, VERSION, PLURAL = "example.com", "v1", "things"
LIMIT = 30.0
"""Seconds after which a state that does not come is an error of the script."""
POLL = 0.01
"""Seconds between two polls of a state."""


def thing(name: str) -> Manifest:
    """Return an object as the API server lists it."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1"}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Thing", "metadata": metadata}


class KopfServer:
    """Serves one kind: each list takes the next of `lists`, each watch the next of `errors`, else it stays silent."""

    def __init__(self, *lists: list[str], errors: tuple[int, ...] = ()) -> None:
        self.requests = 0
        """Lists and watches that have come."""
        self._lists = deque(lists)
        self._errors = deque(errors)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path != f"/apis/{GROUP}/{VERSION}/{PLURAL}":
            return web.json_response(_discovery(request.path))
        self.requests += 1
        if "watch" in request.query:
            return await self._watch(request)
        names = self._lists.popleft() if len(self._lists) > 1 else self._lists[0]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [thing(name) for name in names]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if not self._errors:
            await asyncio.Event().wait()
        status = {"kind": "Status", "code": self._errors.popleft(), "message": "from the script"}
        await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
        return response


@asynccontextmanager
async def kopf_runs(server: KopfServer, registry: kopf.OperatorRegistry) -> AsyncIterator[asyncio.Task[None]]:
    """Serve the script on a free port, run an operator against it, and yield the operator's task."""
    app = web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    running = TestServer(app)
    await running.start_server(shutdown_timeout=0.01)
    stop = asyncio.Event()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        url = str(running.make_url("")).rstrip("/")
        return kopf.AiohttpSession(server=url, aiohttp_session=aiohttp.ClientSession())

    operator = asyncio.create_task(
        kopf.operator(registry=registry, settings=_settings(), clusterwide=True, stop_flag=stop)
    )
    yield operator
    stop.set()
    await asyncio.wait([operator])
    await running.close()


def watchers() -> list[str]:
    """Return the names of the watcher tasks of kopf that are alive."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("watcher for")]


async def until(predicate: Any, limit: float = LIMIT) -> bool:
    """Poll until the predicate holds; return False at the limit."""
    end = asyncio.get_running_loop().time() + limit
    while not predicate():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(POLL)
    return True


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.reconnect_backoff = 0.1
    settings.queueing.idle_timeout = 0.5
    return settings


def _discovery(path: str) -> Manifest:
    """Answer a discovery request: the kind of the script, and the two kinds that kopf waits for at its start."""
    crds = "apiextensions.k8s.io"
    return {
        "/api": {"versions": ["v1"]},
        "/api/v1": _resources("v1", "namespaces", "Namespace"),
        "/apis": {"groups": [_group(GROUP, VERSION), _group(crds, "v1")]},
        f"/apis/{crds}/v1": _resources(f"{crds}/v1", "customresourcedefinitions", "CustomResourceDefinition"),
        f"/apis/{GROUP}/{VERSION}": _resources(f"{GROUP}/{VERSION}", PLURAL, "Thing"),
    }[path]


def _group(name: str, version: str) -> Manifest:
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


def _resources(group_version: str, plural: str, kind: str) -> Manifest:
    resource = {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": True}
    resource["verbs"] = ["get", "list", "watch", "patch"]
    return {"groupVersion": group_version, "resources": [resource]}
