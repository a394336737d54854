"""Stand-ins for the agents of many pods: each answers at its pod's address, and loads at once.

The kubelet is simulated, too: an agent sees the newest `models.json` when its pod is annotated, as a real kubelet
mounts it then. The agent loads all models at once, so the measurement covers the control plane alone. Ingresses get
an address.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from manyserve.api import modelconfig
from manyserve.api.names import CONFIG_HASH, HOST_LABEL
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.informer import Informer
from manyserve.plan.model_config import text_of

Manifest = dict[str, Any]


class Agent:
    """The agent of one pod."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.revision = 0
        self.body = b""
        self.changed = asyncio.Event()
        self.load("[]", {})

    def load(self, text: str, models: Manifest) -> None:
        """Report this `models.json` as in force, with all models loaded."""
        self.revision += 1
        report = {"instance": "a", "revision": self.revision, "serverReady": True, "settled": True}
        self.body = json.dumps(report | {"config": modelconfig.content_hash(text), "models": models}).encode()
        self.changed.set()
        self.changed = asyncio.Event()


class Agents:
    """All agents of a namespace, and the versions of their hosts' `models.json`."""

    def __init__(self, client: KubeClient, namespace: str, port: int) -> None:
        self.texts: dict[str, str] = {}
        """The newest `models.json` of each host."""
        self.written: list[int] = []
        """The bytes of each one that was written, as the ConfigMap has it."""
        self._client = client
        self._namespace = namespace
        self._port = port
        self._agents: dict[str, Agent] = {}
        self._loaded: dict[str, Manifest] = {}
        self._works: set[asyncio.Task[None]] = set()
        self._listeners: list[asyncio.Event] = []
        app = web.Application()
        app.router.add_get("/status", self._status)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        self.informers = [
            Informer(client, kind, selection=ListOptions(namespace, labels=HOST_LABEL), on_change=on_change)
            for kind, on_change in (
                (kinds.CONFIG_MAP, self._config),
                (kinds.POD, self._pod),
                (kinds.INGRESS, self._ingress),
            )
        ]

    async def hold(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until the `models.json` of the hosts are as they should be."""
        changed = asyncio.Event()
        self._listeners.append(changed)
        async with asyncio.timeout(seconds):
            while not holds():
                await changed.wait()
                changed.clear()
        self._listeners.remove(changed)

    async def _status(self, request: web.Request) -> web.Response:
        address = request.transport.get_extra_info("sockname")[0] if request.transport else ""
        agent = self._agents[address]
        if request.query.get("after") == str(agent.revision):
            with suppress(TimeoutError):
                await asyncio.wait_for(agent.changed.wait(), float(request.query["wait"]))
        return web.Response(body=agent.body, content_type="application/json")

    def _config(self, _old: Manifest | None, new: Manifest | None) -> None:
        if new is None or (text := text_of(new)) is None:
            return
        self.texts[new["metadata"]["labels"][HOST_LABEL]] = text
        values = ((new.get("data") or {}) | (new.get("binaryData") or {})).values()
        self.written.append(sum(map(len, values)))
        for listener in self._listeners:
            listener.set()

    def _pod(self, old: Manifest | None, new: Manifest | None) -> None:
        address = (new or {}).get("status", {}).get("podIP")
        if new is None or not address:
            return
        if address not in self._agents:
            self._agents[address] = Agent(new["metadata"]["labels"][HOST_LABEL])
            self._do(web.TCPSite(self.runner, address, self._port, reuse_address=True).start())
        if _nudge_of(new) and (old is None or _nudge_of(new) != _nudge_of(old)):
            agent = self._agents[address]
            text = self.texts.get(agent.host, "[]")
            agent.load(text, {name: self._loaded_of(entry) for name, entry in _entries(text)})

    def _loaded_of(self, entry: Manifest) -> Manifest:
        """Return the report of a model; digests are computed once, since thousands of entries do not change."""
        key = json.dumps(entry)
        if key not in self._loaded:
            digest = modelconfig.parse(f"[{key}]")[0].digest
            self._loaded[key] = {"state": "Loaded", "digest": digest}
        return self._loaded[key]

    def _ingress(self, _old: Manifest | None, new: Manifest | None) -> None:
        if new is not None and not new.get("status", {}).get("loadBalancer"):
            status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
            self._do(self._address(new["metadata"]["name"], status))

    async def _address(self, name: str, status: Manifest) -> None:
        patch = {"status": status}
        with suppress(ClusterError):  # the next change brings it again
            await self._client.merge_patch(kinds.INGRESS, self._namespace, name, patch, subresource="status")

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)


@asynccontextmanager
async def agents_of(client: KubeClient, namespace: str, port: int) -> AsyncIterator[Agents]:
    """Run the agents of all hosts of a namespace."""
    agents = Agents(client, namespace, port)
    await agents.runner.setup()
    tasks = [asyncio.create_task(each.run()) for each in agents.informers]
    try:
        yield agents
    finally:
        for task in tasks:
            task.cancel()
        await agents.runner.cleanup()


def _nudge_of(pod: Manifest) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(CONFIG_HASH, ""))


def _entries(text: str) -> list[tuple[str, Manifest]]:
    return [(each["modelName"], each) for each in json.loads(text)]
