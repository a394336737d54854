"""Dependencies that all jobs of one agent share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from manyserve.agent.concurrency import TimeoutSemaphore
from manyserve.agent.download import Downloaders
from manyserve.agent.metrics import Metrics
from manyserve.agent.servers import ModelServer
from manyserve.agent.settings import AgentSettings
from manyserve.agent.state import AgentState
from manyserve.agent.volume.dedup import Deduplicator
from manyserve.agent.volume.disk_budget import DiskBudget
from manyserve.agent.volume.store import Store


@dataclass
class AgentContext:
    """The parts of one agent, put together."""

    settings: AgentSettings
    state: AgentState
    store: Store
    server: ModelServer
    downloaders: Downloaders
    metrics: Metrics
    clock: Callable[[], float]
    """Monotonic time, in seconds."""
    unix_time: Callable[[], float]
    jitter: Callable[[], float]
    downloads: TimeoutSemaphore = field(init=False)
    loads: TimeoutSemaphore = field(init=False)
    dedup: Deduplicator = field(init=False)
    budget: DiskBudget = field(init=False)

    def __post_init__(self) -> None:
        self.dedup = Deduplicator()
        self.budget = DiskBudget(self.settings.disk_reserve)
        self.downloads = TimeoutSemaphore(self.settings.parallel_downloads, self.settings.download_slot_seconds)
        self.loads = TimeoutSemaphore(self.settings.parallel_loads, self.settings.load_slot_seconds)
