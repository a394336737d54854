"""Load of inference requests on routers, counted by status, and moves of models under that load."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.router.pods import StrictPod
from tests.router.rig import Rig, RouterPod

PAUSE = 0.01
"""Seconds between two requests of one client: the load is paced, and not the most that two processors can do."""


@dataclass
class Load:
    """Results of requests by router and status; 0 is a request without an answer."""

    results: dict[str, Counter[int]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    """Requests by router that found its port closed. A Service sends none there."""

    @property
    def sent(self) -> int:
        return sum(sum(each.values()) for each in self.results.values())

    def lost(self, router: RouterPod | None = None) -> int:
        """Return the number of requests without an answer of 200."""
        counters = self.results.values() if router is None else [self.results[router.name]]
        return sum(each.total() - each[200] for each in counters)


@asynccontextmanager
async def load(rig: Rig, models: Sequence[str], routers: Sequence[RouterPod], clients: int = 6) -> AsyncIterator[Load]:
    """Send requests for these models in turn to each router, until the end of the block."""
    result = Load({router.name: Counter() for router in routers})
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(_client(rig, models, router, result, stop, first))
        for router in routers
        for first in range(clients)
    ]
    try:
        yield result
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _client(
    rig: Rig, models: Sequence[str], router: RouterPod, result: Load, stop: asyncio.Event, first: int
) -> None:
    number = first
    while not stop.is_set():
        number += 1
        try:
            url = f"{router.url}/v2/models/{models[number % len(models)]}/infer"
            async with rig.http.post(url, data=b"{}") as answer:
                await answer.read()
                result.results[router.name][answer.status] += 1
        except aiohttp.ClientConnectorError:
            result.refused[router.name] += 1
        except (aiohttp.ClientError, OSError):
            result.results[router.name][0] += 1
        await asyncio.sleep(PAUSE)


async def move(model: str, old: StrictPod, new: StrictPod, seconds: float = 30.0) -> None:
    """Move a model as the operator does: it leaves the old pod when all routers have its new one."""
    new.load(model)
    async with asyncio.timeout(seconds):
        while model not in new.routing.routed():  # noqa: ASYNC110  the routers are other processes
            await asyncio.sleep(PAUSE)
    await old.unload(model)


async def moves(rig: Rig, models: Sequence[str], rounds: int, at: dict[str, int]) -> int:
    """Move each model to the next pod, so many times; `at` has the place of each one. Return the number of moves."""

    async def mover(model: str) -> None:
        for _ in range(rounds):
            old, new = rig.pods[at[model]], rig.pods[(at[model] + 1) % len(rig.pods)]
            await move(model, old, new)
            at[model] = (at[model] + 1) % len(rig.pods)

    await asyncio.gather(*map(mover, models))
    return rounds * len(models)
