"""Fake kubelet, agent and gateway, as far as the operator can observe them.

Pods run and are ready at once, all at one address unless a test gives others. The agent at that address loads the
`models.json` of the newest ConfigMap when the operator touches its pod. Ingresses get an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
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
ADDRESS = "127.0.0.1"


class Kubelet:
    """Fake kubelet for the pods of one host in one namespace, with the labels of an API group."""

    def __init__(self, client: KubeClient, namespace: str, host: str, group: str = names.GROUP) -> None:
        self.fails: set[str] = set()
        """Models that cannot be loaded."""
        self.configs: list[tuple[str, ...]] = []
        """The models of each observed version of the ConfigMap."""
        self.holds: list[str | None] = []
        """The hold in each poll."""
        self.starts = asyncio.Event()
        """Cleared, new pods stay Pending until it is set."""
        self.address_of: Callable[[str], str] = lambda _pod: ADDRESS
        """Returns the address of a pod of this name."""
        self.in_flight: float | None = None
        """Requests in flight on all pods together; None: the counters cannot be read."""
        self.starts.set()
        self._client = client
        self._namespace = namespace
        self._pods = f"{names.HOST_LABEL.replace(names.GROUP, group)}={host}"
        self._hash_annotation = names.CONFIG_HASH.replace(names.GROUP, group)
        self._report: Manifest = {"instance": "a", "revision": 1, "serverReady": True, "settled": True}
        self._changed = asyncio.Event()
        self._text = ""
        self._tasks: set[asyncio.Task[Any]] = set()
        self.config = self._informer(kinds.CONFIG_MAP, self._config)
        self.pods = self._informer(kinds.POD, self._pod)
        self.ingresses = self._informer(kinds.INGRESS, self._ingress)

    def report(self, **fields: Any) -> None:
        """Change the agent's report."""
        self._report = self._report | fields | {"revision": self._report["revision"] + 1}
        self._changed.set()
        self._changed = asyncio.Event()

    async def status(self, request: web.Request) -> web.Response:
        """Answer a poll as an agent does."""
        self.holds.append(request.query.get("hold"))
        if request.query.get("after") == str(self._report["revision"]):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), float(request.query["wait"]))
        return web.json_response(self._report)

    async def traffic(self, _: web.Request) -> web.Response:
        """Answer with the counters of a pod, as if its traffic had always been the same."""
        if self.in_flight is None:
            return web.Response(status=503, text="the metrics of the model server cannot be read")
        seconds, pods = asyncio.get_running_loop().time(), max(len(self.pods.objects), 1)
        counters = {"requests": int(seconds), "busyMicros": int(seconds * 1_000_000 * self.in_flight / pods)}
        return web.json_response({"instance": f"a-{pods}", "counted": True, "models": {"a": counters}})

    def _informer(self, kind: kinds.Kind, on_change: Any) -> Informer:
        selection = ListOptions(self._namespace, labels=self._pods)
        return Informer(self._client, kind, selection=selection, on_change=on_change)

    def _config(self, _old: Manifest | None, new: Manifest | None) -> None:
        if new is not None and (text := text_of(new)) is not None and text != self._text:
            with suppress(ValueError):  # an agent, too, keeps the last valid list
                self.configs.append(tuple(each.model_name for each in modelconfig.parse(text)))
                self._text = text

    def _pod(self, old: Manifest | None, new: Manifest | None) -> None:
        if new is None or new["metadata"].get("deletionTimestamp"):
            return
        if new["status"].get("phase") == "Pending":
            self._do(self._run(new))
        elif self._hash_annotation in (new["metadata"].get("annotations") or {}):
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
        self.report(config=modelconfig.content_hash(self._text), models=models)

    async def _run(self, pod: Manifest) -> None:
        await self.starts.wait()
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "PodScheduled")]
        address = self.address_of(pod["metadata"]["name"])
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": ready}
        await self._patch_status(kinds.POD, pod, status)

    async def _patch_status(self, kind: kinds.Kind, manifest: Manifest, status: Manifest) -> None:
        name = manifest["metadata"]["name"]
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
                return  # the next change tries it again

        task = asyncio.create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def kubelet(
    client: KubeClient, namespace: str, host: str, group: str = names.GROUP, *, address: str = ADDRESS, port: int = 0
) -> AsyncIterator[tuple[Kubelet, int]]:
    """Run the fake kubelet, and yield it with the port of its agents. Port 0: a free one."""
    fake = Kubelet(client, namespace, host, group)
    fake.address_of = lambda _pod: address
    app = web.Application()
    app.router.add_get("/status", fake.status)
    app.router.add_get("/traffic", fake.traffic)
    server = TestServer(app, host=address, port=port)
    await server.start_server(shutdown_timeout=0.01)
    tasks = [asyncio.create_task(informer.run()) for informer in (fake.config, fake.pods, fake.ingresses)]
    try:
        yield fake, server.port or 0
    finally:
        for task in tasks:
            task.cancel()
        await server.close()
