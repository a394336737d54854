"""The work for one model, as data, and what all such work shares."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from manyserve.agent.concurrency import TimeoutSemaphore
from manyserve.agent.download import Downloaders
from manyserve.agent.metrics import Metrics
from manyserve.agent.reconcile import Step
from manyserve.agent.retry import RetryState
from manyserve.agent.servers import ModelServer
from manyserve.agent.settings import AgentSettings
from manyserve.agent.state import AgentState
from manyserve.agent.volume.dedup import Deduplicator
from manyserve.agent.volume.disk_budget import DiskBudget
from manyserve.agent.volume.store import Store
from manyserve.api.modelconfig import Entry


@dataclass
class AgentContext:
    """What all workers share."""

    settings: AgentSettings
    world: AgentState
    store: Store
    server: ModelServer
    downloaders: Downloaders
    metrics: Metrics
    clock: Callable[[], float]
    wall: Callable[[], float]
    jitter: Callable[[], float]
    downloads: TimeoutSemaphore = field(init=False)
    loads: TimeoutSemaphore = field(init=False)
    sharing: Deduplicator = field(init=False)
    budget: DiskBudget = field(init=False)

    def __post_init__(self) -> None:
        self.sharing = Deduplicator()
        self.budget = DiskBudget(self.settings.disk_reserve)
        self.downloads = TimeoutSemaphore(self.settings.parallel_downloads, self.settings.download_slot_seconds)
        self.loads = TimeoutSemaphore(self.settings.parallel_loads, self.settings.load_slot_seconds)


class JobProgress(NamedTuple):
    """What is being done for a model, as far as the report tells it."""

    stage: Step | None = None
    """The step in work; None while it waits for its turn."""
    note: str = ""
    """What it waits for."""
    arrived: int | None = None
    """The bytes of a download that came."""
    total: int | None = None
    """The bytes of a download, where the source tells."""


IDLE = JobProgress()


@dataclass
class Job:
    """Bringing one model to where the plan wants it. `entry` is None for a removal."""

    context: AgentContext
    name: str
    entry: Entry | None
    progress: JobProgress = IDLE
    is_noop: bool = False
    """All is as wanted when it begins, so that the log needs no word of it."""
    slow: bool = False
    """Its load takes so long that the pod does not wait for it."""
    refused: bool = False
    """The server refused the files."""
    previous_still_loaded: bool = False
    """It had not been asked to take them before."""
    digest_mismatch: tuple[str, str] | None = None
    """The fingerprint of a source whose content is not that of the digest asked for, and the sentence on it."""
    fingerprint: str = ""
    """What the source looked like when it was downloaded."""
    cancellable: bool = True
    """False while stopping would leave the server or the disk between two states."""

    @property
    def digest(self) -> str:
        """What it works towards; empty for a removal."""
        return self.entry.digest if self.entry else ""

    @property
    def superseded(self) -> bool:
        """Tell whether something else is wanted by now."""
        wanted = self.context.world.wanted.get(self.name)
        return (wanted.digest if wanted else "") != self.digest

    @property
    def retry_state(self) -> RetryState:
        """What is remembered of earlier work towards the same."""
        return self.context.world.memory.get(self.name, RetryState(self.digest)).for_digest(self.digest)

    @property
    def level(self) -> int:
        """The level of log lines that tell no news when nothing was to be done."""
        return logging.DEBUG if self.is_noop else logging.INFO

    def enter(self, stage: Step, *, may_stop: bool) -> None:
        """Tell the world what is being done."""
        self.cancellable = may_stop
        self.publish(JobProgress(stage))

    def wait(self, note: str) -> None:
        """Tell the world what is waited for."""
        self.publish(self.progress._replace(note=note))

    def publish(self, doing: JobProgress) -> None:
        """Tell the world what is being done, if that is new."""
        if doing != self.progress:
            self.progress = doing
            self.context.world.changed.set()
