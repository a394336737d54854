"""Fake kubelet, agents and routers of a heterogeneous host, as far as the operator can observe them.

Each pod has an address of its own in 127.0.0.0/8, by which one server knows which agent or router is asked. A pod has
the ConfigMap of its start until the operator touches the pod.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.api import modelconfig, names, routerenv
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.informer import Informer
from manyserve.plan.model_config import text_of

Manifest = dict[str, Any]
ALL = "0.0.0.0"


@dataclass
class Pod:
    """One running pod."""

    name: str
    address: str
    shard: int | None
    """None for a router."""
    text: str = ""
    """The file of its ConfigMap, as it is mounted."""
    revision: int = 1
    report: Manifest = field(default_factory=dict)


class Shards:
    """Fake kubelet for the pods of one host in one namespace."""

    def __init__(self, client: KubeClient, namespace: str, host: str) -> None:
        self.pods: dict[str, Pod] = {}
        """By address."""
        self.led: set[str] | None = None
        """Models that the routers report; None: all of all lists."""
        self.in_flight: dict[str, float] = {}
        """Requests in flight by model, on all of its copies together."""
        self.routers_start = asyncio.Event()
        """Until it is set, routers run and are not ready."""
        self._client = client
        self._namespace = namespace
        self._host = host
        self._started: set[str] = set()
        """UIDs of pods; a pod that is Pending changes more than once."""
        self._texts: dict[str, str] = {}
        """File of each ConfigMap, by its name."""
        self._addresses = count(1)
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        selection = ListOptions(namespace, labels=f"{names.HOST_LABEL}={host}")
        self.informers = [
            Informer(client, kinds.CONFIG_MAP, selection=selection, on_change=self._config),
            Informer(client, kinds.POD, selection=selection, on_change=self._pod),
        ]

    def routers(self) -> list[Pod]:
        """Return the running routers."""
        return [pod for pod in self.pods.values() if pod.shard is None]

    async def status(self, request: web.Request) -> web.Response:
        """Answer a poll as the agent or the router at this address does."""
        pod = self._asked(request)
        content = self._router_report(pod) if pod.shard is None else self._agent_report(pod)
        if content != pod.report:
            pod.report, pod.revision = content, pod.revision + 1
        elif request.query.get("after") == str(pod.revision):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), float(request.query["wait"]))
            content = self._router_report(pod) if pod.shard is None else self._agent_report(pod)
            pod.revision += content != pod.report
            pod.report = content
        return web.json_response(content | {"instance": pod.name, "revision": pod.revision})

    async def traffic(self, request: web.Request) -> web.Response:
        """Answer with the counters of the models on a pod, as if their traffic had always been the same."""
        pod = self._asked(request)
        copies = Counter(each["modelName"] for text in map(self._list, self.pods.values()) for each in text)
        seconds = asyncio.get_running_loop().time()
        models = {
            name: {"requests": int(seconds), "busyMicros": int(seconds * 1_000_000 * in_flight / copies[name])}
            for name, in_flight in self.in_flight.items()
            if name in {each["modelName"] for each in self._list(pod)}
        }
        return web.json_response({"instance": f"{pod.name}-{sum(copies.values())}", "counted": True, "models": models})

    def _asked(self, request: web.Request) -> Pod:
        """Return the pod at the address that is asked."""
        transport = request.transport
        return self.pods[transport.get_extra_info("sockname")[0]] if transport else Pod("", "", 0)

    def wake(self) -> None:
        """End all polls."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _agent_report(self, pod: Pod) -> Manifest:
        text = pod.text or "[]"
        models = {
            each.model_name: {"state": "Loaded", "digest": each.digest, "routed": True}
            for each in modelconfig.parse(text)
        }
        config = modelconfig.content_hash(text)
        return {"serverReady": True, "settled": True, "config": config, "models": models}

    def _router_report(self, pod: Pod) -> Manifest:
        is_ready = self.routers_start.is_set()
        models = {each["modelName"] for text in map(self._list, self.pods.values()) for each in text}
        led = sorted(models if self.led is None else self.led)
        return {"ready": is_ready, "pods": modelconfig.content_hash(pod.text), "models": led if is_ready else []}

    @staticmethod
    def _list(pod: Pod) -> list[Manifest]:
        return (
            []
            if pod.shard is None
            else [{"modelName": each.model_name} for each in modelconfig.parse(pod.text or "[]")]
        )

    def _config(self, _old: Manifest | None, new: Manifest | None) -> None:
        if new is not None:
            text = text_of(new)
            self._texts[new["metadata"]["name"]] = text or (new.get("data") or {}).get(routerenv.PODS_KEY, "")

    def _pod(self, old: Manifest | None, new: Manifest | None) -> None:
        if new is None:
            self.pods.pop((old or {}).get("status", {}).get("podIP", ""), None)
            return
        address = new.get("status", {}).get("podIP")
        if new["metadata"].get("deletionTimestamp"):
            self.pods.pop(address or "", None)
        elif new["status"].get("phase") == "Pending":
            if new["metadata"]["uid"] not in self._started:
                self._started.add(new["metadata"]["uid"])
                self._do(self._run(new))
        elif address in self.pods and names.CONFIG_HASH in (new["metadata"].get("annotations") or {}):
            self._mount(self.pods[address])

    def _mount(self, pod: Pod) -> None:
        name = names.router(self._host) if pod.shard is None else names.model_config(self._host, pod.shard)
        pod.text = self._texts.get(name, "")
        self.wake()

    async def _run(self, manifest: Manifest) -> None:
        shard = manifest["metadata"]["labels"].get(names.SHARD_LABEL)
        address = f"127.0.3.{next(self._addresses)}"
        pod = self.pods[address] = Pod(manifest["metadata"]["name"], address, None if shard is None else int(shard))
        self._mount(pod)
        if pod.shard is None and not self.routers_start.is_set():
            await self._patch_status(pod, ready=False)
            await self.routers_start.wait()
            self.wake()
        await self._patch_status(pod, ready=True)

    async def _patch_status(self, pod: Pod, *, ready: bool) -> None:
        state = "True" if ready else "False"
        conditions = [{"type": kind, "status": state} for kind in ("Ready", "ContainersReady")]
        conditions.append({"type": "PodScheduled", "status": "True"})
        addresses = {"podIP": pod.address, "podIPs": [{"ip": pod.address}]}
        status = {"phase": "Running", "conditions": conditions} | addresses
        await self._client.merge_patch(kinds.POD, self._namespace, pod.name, {"status": status}, subresource="status")

    def _do(self, work: Any) -> None:
        async def quietly() -> None:
            with suppress(ClusterError):  # the pod is gone
                await work

        task = asyncio.create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def shards(client: KubeClient, namespace: str, host: str) -> AsyncIterator[tuple[Shards, int]]:
    """Run the fake, and yield it with the port of its agents and routers."""
    fake = Shards(client, namespace, host)
    app = web.Application()
    app.router.add_get("/status", fake.status)
    app.router.add_get("/traffic", fake.traffic)
    server = TestServer(app, host=ALL)
    await server.start_server(shutdown_timeout=0.01)
    tasks = [asyncio.create_task(informer.run()) for informer in fake.informers]
    try:
        yield fake, server.port or 0
    finally:
        for task in (*tasks, *fake._tasks):
            task.cancel()
        await server.close()
