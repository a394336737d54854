"""Scenarios: changes of users and administrators to thousands of models, one after the other on one stage.

Each scenario with a floor runs twice: with the operator, then with the same user beside a bare loop that writes one
status a change (`floor`). Deletions have a floor without any loop. Some URIs are changed three times, and the median
counts: that scenario has no floor, and a shared machine is sometimes slow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.support.eventually import eventually
from tests.support.kubectl import condition

from bench.control.meter import Counts, Meter, difference
from bench.control.models import LIMIT, is_ready, is_there, says
from bench.control.stage import BARE, WORK, Side, Stage, servers, staged
from manyserve.cluster import kinds
from manyserve.cluster.client import ListOptions
from manyserve.cluster.limiter import Limiter

HOST_POLL = 0.2
"""Seconds between two polls of all hosts."""
QUIET = 5.0
"""Seconds without a write after which a scenario without expected writes passes."""
SETTLED = 3.0
"""Seconds without a write after which the operator counts as done."""
FEW = ("gs://bucket/third", "gs://bucket/fourth", "gs://bucket/fifth")
"""The URIs of some models, one after the other."""
Work = Callable[[Side], Awaitable[None]]


@dataclass(frozen=True)
class Measured:
    """The cost of one scenario."""

    seconds: float
    counts: Counts
    memory: float
    """The most MB until its end, since the operator's start."""
    floor: float | None = None
    """Seconds that the bare loop took for the same."""
    in_config: float | None = None
    """Seconds from the user's first request until all of it stood in `models.json`."""
    tries: tuple[float, ...] = ()
    """Those seconds, each time that it was tried."""
    alone: float | None = None
    """Seconds of the user's requests without any other program, the median of as many tries."""


async def measure(count: int, hosts: int) -> dict[str, Measured]:
    """Return the cost of each scenario for so many models on so many hosts."""
    with TemporaryDirectory() as folder, servers() as server:
        async with staged(server, Path(folder)) as stage:
            return await Scenarios(stage, count, hosts).all()


class Scenarios:
    """All scenarios for one number of models and hosts."""

    def __init__(self, stage: Stage, count: int, hosts: int) -> None:
        self._stage = stage
        self._count = count
        self._hosts = hosts
        self._left = count - count // 2
        self._few = min(1000, count)

    async def all(self) -> dict[str, Measured]:
        """Return the cost of each scenario, by its name."""
        async with self._stage.operator() as meter:
            await self._have_hosts()
            applied = await self._measured(meter, self._apply)
            self._stage.statuses = self._stage.work.models.statuses()
        costs = {"apply": replace(applied, floor=await self._floor(self._apply)), "restart": await self._restart()}
        async with self._stage.operator() as meter:
            await eventually(meter.has_run, limit=LIMIT)
            changed = await self._measured(meter, self._change)
            few = middle([await self._change_some(meter, uri) for uri in FEW])
            off = await self._measured(meter, self._off)
            on = await self._measured(meter, self._on)
            halved = await self._measured(meter, self._halve, config=self._half_in_config)
            ended = await self._measured(meter, self._end)
        costs["change every URI"] = replace(changed, floor=await self._floor(self._change))
        alone = median([await self._timed(partial(self._ask_few, uri=each), self._stage.bare) for each in FEW])
        costs[f"change {self._few} URIs"] = replace(few, alone=alone)
        floor = await self._status_floor()
        costs |= {"multiModelServer off": replace(off, floor=floor), "multiModelServer on": replace(on, floor=floor)}
        costs["delete half"] = replace(halved, floor=await self._timed(self._halve, self._stage.bare))
        costs["delete the hosts"] = replace(ended, floor=await self._collected())
        return costs

    async def _have_hosts(self) -> None:
        await self._stage.work.user.create_hosts(self._hosts)
        await eventually(self._hosts_are_ready, "the hosts are ready", LIMIT, HOST_POLL)

    async def _hosts_are_ready(self) -> bool:
        hosts = (await self._stage.client.list(kinds.INFERENCE_SERVICE, ListOptions(WORK))).items
        apart = await self._pods_are_apart()
        return apart and all(condition(each).get("status") == "True" for each in hosts)

    async def _pods_are_apart(self) -> bool:
        """Return whether each pod has an address of its own. kwok sometimes gives one twice; such a pod is deleted."""
        pods = (await self._stage.client.list(kinds.POD, ListOptions(WORK))).items
        addresses = {each["metadata"]["name"]: each.get("status", {}).get("podIP") for each in pods}
        by_address = {address: name for name, address in addresses.items()}
        twice = [name for name, address in addresses.items() if address and by_address[address] != name]
        for name in twice:
            await self._stage.client.delete(kinds.POD, WORK, name)
        return not twice

    async def _measured(self, meter: Meter, work: Work, config: Callable[[], bool] | None = None) -> Measured:
        before = await meter.counts()
        configured = asyncio.create_task(self._configured(config)) if config else None
        seconds = await self._timed(work, self._stage.work)
        in_config = await configured if configured else None
        await self._settled(meter)
        after = await meter.counts()
        return Measured(seconds, difference(before, after), meter.most_memory, in_config=in_config)

    async def _settled(self, meter: Meter) -> None:
        """Wait until the operator writes no more, so that its late writes count for the scenario."""
        async with asyncio.timeout(LIMIT):
            before, now = None, await meter.counts()
            while before != now.writes:
                before = now.writes
                await asyncio.sleep(SETTLED)
                now = await meter.counts()

    async def _configured(self, holds: Callable[[], bool]) -> float:
        began = time.monotonic()
        await self._stage.agents.hold(holds, LIMIT)
        return time.monotonic() - began

    async def _timed(self, work: Work, side: Side) -> float:
        began = time.monotonic()
        await work(side)
        return time.monotonic() - began

    async def _floor(self, work: Work) -> float:
        async with self._stage.floor():
            return await self._timed(work, self._stage.bare)

    async def _restart(self) -> Measured:
        """Restart the operator with all models as desired: it must write nothing."""
        began = time.monotonic()
        async with self._stage.operator() as meter:
            seconds = time.monotonic() - began
            await eventually(meter.has_run, limit=LIMIT)
            await asyncio.sleep(QUIET)
            return Measured(seconds, difference(Counts(), await meter.counts()), meter.most_memory)

    async def _apply(self, side: Side) -> None:
        await asyncio.gather(side.user.create(self._count, self._hosts), side.models.all(self._count, is_ready))

    async def _change(self, side: Side) -> None:
        await side.user.change(range(self._count), "gs://bucket/another")
        await side.models.all(self._count, is_ready)

    async def _change_some(self, meter: Meter, uri: str) -> Measured:
        async def change(side: Side) -> None:
            await self._ask_few(side, uri)
            await side.models.all(self._count, is_ready)

        def all_changed() -> bool:
            return sum(text.count(f"{uri}/") for text in self._stage.agents.texts.values()) == self._few

        return await self._measured(meter, change, config=all_changed)

    async def _ask_few(self, side: Side, uri: str) -> None:
        await side.user.change(range(self._few), uri)

    async def _off(self, side: Side) -> None:
        await self._stage.flip(multi_model=False)
        await side.models.all(self._count, says("IsNotMMSPredictor"))

    async def _on(self, side: Side) -> None:
        await self._stage.flip(multi_model=True)
        await side.models.all(self._count, is_ready)

    async def _halve(self, side: Side) -> None:
        await side.user.delete(range(self._left, self._count))
        await side.models.all(self._left, is_there)

    def _half_in_config(self) -> bool:
        return sum(text.count('"modelName"') for text in self._stage.agents.texts.values()) == self._left

    async def _end(self, side: Side) -> None:
        await side.user.delete_hosts(self._hosts)
        await side.models.all(0, is_there)

    async def _status_floor(self) -> float:
        """Return the seconds that it takes to write one status to each model, when nothing else happens."""
        writes = [partial(self._write, name, status) for name, status in self._stage.statuses.items()]
        began = time.monotonic()
        await Limiter().run(writes)
        return time.monotonic() - began

    async def _write(self, name: str, status: dict[str, object]) -> None:
        patch = {"status": status | {"loaded": "0/1"}}
        await self._stage.client.merge_patch(kinds.TRAINED_MODEL, BARE, name, patch, subresource="status")

    async def _collected(self) -> float:
        """Return the seconds that Kubernetes takes to delete as many models with their owner, without an operator."""
        await self._stage.bare.user.delete(range(self._left))
        await self._stage.bare.models.all(0, is_there)
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": BARE}}
        uid = (await self._stage.client.create(kinds.CONFIG_MAP, owner))["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
        await self._stage.bare.user.create(self._left, self._hosts, [reference])
        await self._stage.bare.models.all(self._left, is_there)
        began = time.monotonic()
        await self._stage.client.delete(kinds.CONFIG_MAP, BARE, "owner")
        await self._stage.bare.models.all(0, is_there)
        return time.monotonic() - began


def middle(tries: Sequence[Measured]) -> Measured:
    """Return the run with the median time until all was in `models.json`."""
    by_time = sorted(tries, key=lambda each: each.in_config or 0.0)
    return replace(by_time[len(tries) // 2], tries=tuple(each.in_config or 0.0 for each in tries))
