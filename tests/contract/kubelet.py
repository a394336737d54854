"""A kubelet and a gateway that are only as much as the operator can see of them.

Pods run and are ready at once, at one address, where an agent answers that loads whatever `models.json` of
the newest ConfigMap asks for, when its pod is nudged. Ingresses have an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.api import modelconfig, names
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.informer import Informer
from manyserve.plan.model_config import text_of

Manifest = dict[str, Any]


class Kubelet:
    """Runs the pods of one host in one namespace, with the labels of an API group."""

    def __init__(self, client: KubeClient, namespace: str, host: str, group: str = names.GROUP) -> None:
        self.fails: set[str] = set()
        """Models that cannot be loaded."""
        self.configs: list[tuple[str, ...]] = []
        """The models of each ConfigMap that was seen."""
        self.starts = asyncio.Event()
        """Cleared, new pods stay Pending until it is set."""
        self.starts.set()
        self._client = client
        self._namespace = namespace
        self._pods = f"{names.HOST_LABEL.replace(names.GROUP, group)}={host}"
        self._nudged = names.CONFIG_HASH.replace(names.GROUP, group)
        self._report: Manifest = {"instance": "a", "revision": 1, "serverReady": True, "settled": True}
        self._changed = asyncio.Event()
        self._text = ""
        self._works: set[asyncio.Task[Any]] = set()
        self.config = self._informer(kinds.CONFIG_MAP, self._config)
        self.pods = self._informer(kinds.POD, self._pod)
        self.ingresses = self._informer(kinds.INGRESS, self._ingress)

    def say(self, **fields: Any) -> None:
        """Change the agent's report."""
        self._report = self._report | fields | {"revision": self._report["revision"] + 1}
        self._changed.set()
        self._changed = asyncio.Event()

    async def status(self, request: web.Request) -> web.Response:
        """Answer as an agent does."""
        if request.query.get("after") == str(self._report["revision"]):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), float(request.query["wait"]))
        return web.json_response(self._report)

    def _informer(self, kind: kinds.Kind, told: Any) -> Informer:
        selection = ListOptions(self._namespace, labels=self._pods)
        return Informer(self._client, kind, selection=selection, on_change=told)

    def _config(self, _old: Manifest | None, new: Manifest | None) -> None:
        if new is not None and (text := text_of(new)) is not None and text != self._text:
            with suppress(ValueError):  # an agent, too, goes on with the last list that it could read
                self.configs.append(tuple(each.model_name for each in modelconfig.parse(text)))
                self._text = text

    def _pod(self, old: Manifest | None, new: Manifest | None) -> None:
        if new is None or new["metadata"].get("deletionTimestamp"):
            return
        if new["status"].get("phase") == "Pending":
            self._do(self._run(new))
        elif self._nudged in (new["metadata"].get("annotations") or {}):
            self._load()

    def _load(self) -> None:
        models = {
            each.model_name: {
                "state": "LoadFailed" if each.model_name in self.fails else "Loaded",
                "digest": each.digest,
                "message": "it is broken" if each.model_name in self.fails else "",
            }
            for each in modelconfig.parse(self._text)
        }
        self.say(config=modelconfig.content_hash(self._text), models=models)

    async def _run(self, pod: Manifest) -> None:
        await self.starts.wait()
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "PodScheduled")]
        status = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}], "conditions": ready}
        await self._patch_status(kinds.POD, pod, status)

    async def _patch_status(self, kind: kinds.Kind, thing: Manifest, status: Manifest) -> None:
        name = thing["metadata"]["name"]
        await self._client.merge_patch(kind, self._namespace, name, {"status": status}, subresource="status")

    def _ingress(self, old: Manifest | None, new: Manifest | None) -> None:
        if new is not None and not new.get("status", {}).get("loadBalancer"):
            status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
            self._do(self._patch_status(kinds.INGRESS, new, status))

    def _do(self, work: Any) -> None:
        async def quietly() -> None:
            try:
                await work
            except ClusterError:
                return  # the next change brings it again

        task = asyncio.create_task(quietly())
        self._works.add(task)
        task.add_done_callback(self._works.discard)


@asynccontextmanager
async def kubelet(
    client: KubeClient, namespace: str, host: str, group: str = names.GROUP
) -> AsyncIterator[tuple[Kubelet, int]]:
    """Run pods, and yield the kubelet and the port at which its agents answer."""
    one = Kubelet(client, namespace, host, group)
    app = web.Application()
    app.router.add_get("/status", one.status)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.01)
    tasks = [asyncio.create_task(each.run()) for each in (one.config, one.pods, one.ingresses)]
    yield one, server.port or 0
    for task in tasks:
        task.cancel()
    await server.close()
