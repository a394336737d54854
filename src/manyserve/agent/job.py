"""The work for one model, as data, and what all such work shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from manyserve.agent.download import Downloaders
from manyserve.agent.gates import Gate
from manyserve.agent.metrics import Metrics
from manyserve.agent.retry import Memory
from manyserve.agent.servers import ModelServer
from manyserve.agent.settings import AgentSettings
from manyserve.agent.store import Store
from manyserve.agent.sync import Step
from manyserve.agent.world import World
from manyserve.api.modelconfig import Entry


@dataclass
class Workshop:
    """What all workers share."""

    settings: AgentSettings
    world: World
    store: Store
    server: ModelServer
    downloaders: Downloaders
    metrics: Metrics
    clock: Callable[[], float]
    wall: Callable[[], float]
    jitter: Callable[[], float]
    downloads: asyncio.Semaphore = field(init=False)
    loads: Gate = field(init=False)

    def __post_init__(self) -> None:
        self.downloads = asyncio.Semaphore(self.settings.parallel_downloads)
        self.loads = Gate(self.settings.parallel_loads, self.settings.load_slot_seconds)


@dataclass
class Job:
    """Bringing one model to where the plan wants it. `entry` is None for a removal."""

    shop: Workshop
    name: str
    entry: Entry | None
    stage: Step | None = None
    """The step in work; None while it waits for its turn."""
    note: str = ""
    """What it waits for, for the report."""
    fingerprint: str = ""
    """What the source looked like when it was downloaded."""
    may_stop: bool = True
    """False while stopping would leave the server or the disk between two states."""

    @property
    def digest(self) -> str:
        """What it works towards; empty for a removal."""
        return self.entry.digest if self.entry else ""

    @property
    def superseded(self) -> bool:
        """Tell whether something else is wanted by now."""
        wanted = self.shop.world.wanted.get(self.name)
        return (wanted.digest if wanted else "") != self.digest

    @property
    def memory(self) -> Memory:
        """What is remembered of earlier work towards the same."""
        return self.shop.world.memory.get(self.name, Memory(self.digest)).about(self.digest)

    def enter(self, stage: Step, *, may_stop: bool) -> None:
        """Tell the world what is being done."""
        self.stage, self.may_stop, self.note = stage, may_stop, ""
        self.shop.world.changed.set()
