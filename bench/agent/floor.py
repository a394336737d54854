"""The floor of `models`: list, get, write, load, for each model, with the agent's parallelism and nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

import aiohttp
import uvloop
from obstore.store import GCSStore

PARALLEL_DOWNLOADS, PARALLEL_LOADS = 4, 2


async def load_all(server: str, bucket: str, folder: Path, names: Iterable[str]) -> None:
    """Bring the models, each as soon as there is a place for it."""
    store = GCSStore("bucket", skip_signature=True, base_url=bucket, client_options={"allow_http": True})
    downloads, loads = asyncio.Semaphore(PARALLEL_DOWNLOADS), asyncio.Semaphore(PARALLEL_LOADS)
    connector = aiohttp.TCPConnector(force_close=True)  # as the agent does, for the server's sake
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:

        async def bring(name: str) -> None:
            async with downloads:
                await _download(store, f"{name}/0", folder / name)
            async with loads, session.post(f"{server}/v2/repository/models/{name}/load", data=b"{}") as answer:
                answer.raise_for_status()

        for name in names:
            group.create_task(bring(name))


async def _download(store: GCSStore, prefix: str, folder: Path) -> None:
    async for metas in store.list(prefix):
        for meta in metas:
            target = folder / meta["path"].removeprefix(prefix).strip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bytes(await (await store.get_async(meta["path"])).bytes_async()))


if __name__ == "__main__":
    _server, _bucket, _folder, *_names = sys.argv[1:]
    uvloop.run(load_all(_server, _bucket, Path(_folder), _names))
