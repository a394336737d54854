"""The work for one model, as data, and what all such work shares."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from manyserve.agent.budget import Budget
from manyserve.agent.download import Downloaders
from manyserve.agent.gates import Gate
from manyserve.agent.metrics import Metrics
from manyserve.agent.retry import Memory
from manyserve.agent.servers import ModelServer
from manyserve.agent.settings import AgentSettings
from manyserve.agent.sharing import Sharing
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
    downloads: Gate = field(init=False)
    loads: Gate = field(init=False)
    sharing: Sharing = field(init=False)
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        self.sharing = Sharing()
        self.budget = Budget(self.settings.disk_reserve)
        self.downloads = Gate(self.settings.parallel_downloads, self.settings.download_slot_seconds)
        self.loads = Gate(self.settings.parallel_loads, self.settings.load_slot_seconds)


class Doing(NamedTuple):
    """What is being done for a model, as far as the report tells it."""

    stage: Step | None = None
    """The step in work; None while it waits for its turn."""
    note: str = ""
    """What it waits for."""
    arrived: int | None = None
    """The bytes of a download that came."""
    total: int | None = None
    """The bytes of a download, where the source tells."""


IDLE = Doing()


@dataclass
class Job:
    """Bringing one model to where the plan wants it. `entry` is None for a removal."""

    shop: Workshop
    name: str
    entry: Entry | None
    doing: Doing = IDLE
    quiet: bool = False
    """All is as wanted when it begins, so that the log needs no word of it."""
    slow: bool = False
    """Its load takes so long that the pod does not wait for it."""
    refused: bool = False
    """The server refused the files."""
    sure: bool = False
    """It had not been asked to take them before."""
    unfit: tuple[str, str] | None = None
    """The fingerprint of a source whose content is not that of the digest asked for, and the sentence on it."""
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

    @property
    def level(self) -> int:
        """The level of log lines that tell no news when nothing was to be done."""
        return logging.DEBUG if self.quiet else logging.INFO

    def enter(self, stage: Step, *, may_stop: bool) -> None:
        """Tell the world what is being done."""
        self.may_stop = may_stop
        self.tell(Doing(stage))

    def wait(self, note: str) -> None:
        """Tell the world what is waited for."""
        self.tell(self.doing._replace(note=note))

    def tell(self, doing: Doing) -> None:
        """Tell the world what is being done, if that is new."""
        if doing != self.doing:
            self.doing = doing
            self.shop.world.changed.set()
