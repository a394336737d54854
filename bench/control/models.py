"""Models as users see them: created, changed and deleted sixteen at a time, and watched until all are as desired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tests.support import make
from tests.support.kubectl import condition

from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.informer import Informer
from manyserve.cluster.limiter import Limiter

Manifest = dict[str, Any]
Holds = Callable[[Manifest], bool]
LIMIT = 1800.0


def name_of(number: int) -> str:
    """Return the name of a model."""
    return f"model-{number:05d}"


def is_there(_model: Manifest) -> bool:
    """Return True for any model."""
    return True


def has_current_status(model: Manifest) -> bool:
    """Return whether a model's status is about its newest spec."""
    return bool(model.get("status", {}).get("observedGeneration") == model["metadata"]["generation"])


def is_ready(model: Manifest) -> bool:
    """Return whether the newest spec of a model is Ready."""
    return has_current_status(model) and condition(model).get("status") == "True"


def says(reason: str) -> Holds:
    """Return a predicate: a model is not ready for this reason."""
    return lambda model: has_current_status(model) and condition(model).get("reason") == reason


class Watched:
    """The models of a namespace, from a watch."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._holds: Holds = is_ready
        self._held: set[str] = set()
        self._changed = asyncio.Event()
        self.informer = Informer(client, kinds.TRAINED_MODEL, selection=ListOptions(namespace), on_change=self._look)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.informer.objects)

    async def all(self, count: int, holds: Holds) -> None:
        """Wait until there are exactly so many, and something holds for each."""
        self._holds = holds
        self._held = {each["metadata"]["name"] for each in self.informer.objects.values() if holds(each)}
        async with asyncio.timeout(LIMIT):
            while not len(self._held) == len(self) == count:
                self._changed.clear()
                await self._changed.wait()

    def statuses(self) -> dict[str, Manifest]:
        """Return their statuses."""
        return {each["metadata"]["name"]: each["status"] for each in self.informer.objects.values()}

    def _look(self, old: Manifest | None, new: Manifest | None) -> None:
        if new is not None and self._holds(new):
            self._held.add(new["metadata"]["name"])
        else:
            self._held.discard((new or old or {})["metadata"]["name"])
        self._changed.set()


@asynccontextmanager
async def watched(client: KubeClient, namespace: str) -> AsyncIterator[Watched]:
    """Watch the models of a namespace."""
    watched = Watched(client, namespace)
    task = asyncio.create_task(watched.informer.run())
    await watched.informer.synced.wait()
    try:
        yield watched
    finally:
        task.cancel()


class User:
    """A user who applies models, sixteen requests at a time."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def create(self, count: int, hosts: int, owners: Iterable[Manifest] = ()) -> None:
        """Create models, evenly on the hosts."""
        models = (
            make.model_object(name_of(number), memory="1Mi", host=host_of(number % hosts)) for number in range(count)
        )
        refs = {"ownerReferences": list(owners)} if owners else {}
        await self._do(kinds.TRAINED_MODEL, models, refs)

    async def change(self, numbers: Iterable[int], uri: str) -> None:
        """Change the URI of models; a common URI becomes one for each."""

        async def one(number: int) -> None:
            patch = {"spec": {"model": {"storageUri": f"{uri}/{number}"}}}
            await self._client.merge_patch(kinds.TRAINED_MODEL, self._namespace, name_of(number), patch)

        await Limiter().run([partial(one, number) for number in numbers])

    async def delete(self, numbers: Iterable[int]) -> None:
        """Delete models."""

        async def one(number: int) -> None:
            await self._client.delete(kinds.TRAINED_MODEL, self._namespace, name_of(number))

        await Limiter().run([partial(one, number) for number in numbers])

    async def create_hosts(self, hosts: int) -> None:
        """Create hosts with memory for all."""
        await self._do(kinds.INFERENCE_SERVICE, (make.host_object(host_of(n), memory="64Gi") for n in range(hosts)))

    async def delete_hosts(self, hosts: int) -> None:
        """Delete the hosts; their models go with them."""
        for number in range(hosts):
            await self._client.delete(kinds.INFERENCE_SERVICE, self._namespace, host_of(number))

    async def _do(self, kind: kinds.Kind, manifests: Iterable[Manifest], metadata: Manifest | None = None) -> None:
        async def one(manifest: Manifest) -> None:
            own = {"name": manifest["metadata"]["name"], "namespace": self._namespace} | (metadata or {})
            await self._client.create(kind, manifest | {"metadata": own})

        await Limiter().run([partial(one, each) for each in manifests])


def host_of(number: int) -> str:
    """Return the name of a host."""
    return f"host-{number:03d}"
