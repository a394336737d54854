"""Recorder of a namespace: a watch of each kind, without the proxy, that stores every revision.

After a restart of the API server the recorder lists again. A revision that came and went in between is not judged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions, Manifest
from manyserve.cluster.errors import ClusterError, Expired, from_status
from manyserve.cluster.kinds import Kind
from tests.faults.expectations import Revision, latest
from tests.support.tasks import background

KINDS = (
    kinds.INFERENCE_SERVICE,
    kinds.TRAINED_MODEL,
    *(kind for kind in kinds.CHILDREN if kind is not kinds.HTTP_ROUTE),
    kinds.POD,
    kinds.EVENT,
)
NOT_SEEN = ("kube-root-ca.crt",)
SILENCE = 75.0
PAUSE = 0.2


class HistoryRecorder:
    """Records the history of one namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.history: list[Revision] = []
        self._client = client
        self._selection = ListOptions(namespace)
        self._reached: dict[Kind, str] = {}

    async def follow(self, kind: Kind, listed: asyncio.Event) -> None:
        """Store every revision of a kind until cancelled."""
        while True:
            try:
                if kind not in self._reached:
                    await self._list(kind)
                    listed.set()
                await self._watch(kind)
            except Expired:
                del self._reached[kind]
            except ClusterError:
                await asyncio.sleep(PAUSE)  # the API server is away, or was quiet

    async def _list(self, kind: Kind) -> None:
        """Store the present objects, and the deletions since the last list."""
        listing = await self._client.list(kind, self._selection)
        known = {name: thing for (of, name), thing in latest(self.history).items() if of == kind.name}
        for item in listing.items:
            old = known.pop(item["metadata"]["name"], None)
            if old is None or old["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._keep(kind, item)
        for item in known.values():
            metadata = item["metadata"] | {"resourceVersion": listing.resource_version}
            self._keep(kind, item | {"metadata": metadata}, gone=True)
        self._reached[kind] = listing.resource_version

    async def _watch(self, kind: Kind) -> None:
        """Store events until the watch ends."""
        watch = self._client.watch(kind, self._selection, version=self._reached[kind], silence=SILENCE)
        async with aclosing(watch) as events:
            async for event in events:
                item = event["object"]
                if event["type"] == "ERROR":
                    raise from_status(item)
                self._reached[kind] = item["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._keep(kind, item, gone=event["type"] == "DELETED")

    def _keep(self, kind: Kind, item: Manifest, *, gone: bool = False) -> None:
        metadata = item["metadata"]
        if metadata["name"] not in NOT_SEEN:
            metadata.pop("managedFields", None)
            version = int(metadata["resourceVersion"])
            self.history.append(Revision(version, time.monotonic(), kind.name, metadata["name"], item, gone))


@asynccontextmanager
async def recording(client: KubeClient, namespace: str) -> AsyncIterator[HistoryRecorder]:
    """Run a recorder of a namespace; it has listed everything when this yields."""
    recorder = HistoryRecorder(client, namespace)
    listed = [asyncio.Event() for _ in KINDS]
    async with background(*(recorder.follow(*each) for each in zip(KINDS, listed, strict=True))):
        await asyncio.gather(*(each.wait() for each in listed))
        yield recorder
