"""The floor: a bare loop that watches models and writes one status to each model with a newer spec than its status.

`python -m bench.control.floor STATUSES`, in a process of its own as the operator is; the namespace and the API server
come by the environment. It decides nothing, places nothing and polls no agent. No Python program that writes statuses
to this API server can be faster.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvloop

from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.cluster.limiter import MAX_IN_FLIGHT

READY = "watching"
Manifest = dict[str, Any]


async def watch_and_write(namespace: str, statuses: dict[str, Manifest]) -> None:
    """Write statuses until cancelled."""
    due: asyncio.Queue[tuple[str, Manifest]] = asyncio.Queue()
    async with KubeClient(find_cluster_config(os.environ)) as client, asyncio.TaskGroup() as group:
        for _ in range(MAX_IN_FLIGHT):
            group.create_task(_write(client, namespace, due))
        async for model in _models(client, ListOptions(namespace)):
            observed = model.get("status", {}).get("observedGeneration")
            generation = model["metadata"].get("generation")
            if observed != generation:
                name = model["metadata"]["name"]
                due.put_nowait((name, statuses[name] | {"observedGeneration": generation}))


async def _models(client: KubeClient, selection: ListOptions) -> AsyncIterator[Manifest]:
    """Yield every model that there is, and each whenever it changes; the API server ends the watch of a slow client.

    An informer would do the same and keep copies, which would be no floor.
    """
    while True:
        listed = await client.list(kinds.TRAINED_MODEL, selection)
        for model in listed.items:
            yield model
        print(READY, flush=True)
        with suppress(ClusterError):
            async for event in client.watch(
                kinds.TRAINED_MODEL, selection, version=listed.resource_version, silence=600
            ):
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"]


async def _write(client: KubeClient, namespace: str, due: asyncio.Queue[tuple[str, Manifest]]) -> None:
    while True:
        name, status = await due.get()
        await client.merge_patch(kinds.TRAINED_MODEL, namespace, name, {"status": status}, subresource="status")


def main() -> None:
    """Watch the namespace of the environment."""
    statuses = json.loads(Path(sys.argv[1]).read_text())
    uvloop.run(watch_and_write(os.environ["MANYSERVE_WATCH_NAMESPACES"], statuses))


if __name__ == "__main__":
    main()
