"""A job, the work for one model, as data, with the parts of the agent that it uses, and its progress.

The progress of a download has two sums: bytes that arrived, for the report, and bytes that were stored, for the disk
budget.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from manyserve.agent.concurrency import TimeoutSemaphore
from manyserve.agent.download import Downloaders, Listing
from manyserve.agent.download_slot import Slot
from manyserve.agent.download_slots import DownloadSlots
from manyserve.agent.metrics import Metrics
from manyserve.agent.reconcile import Step
from manyserve.agent.retry import RetryState, Unusable
from manyserve.agent.routes.routing import Routing
from manyserve.agent.servers import ModelServer
from manyserve.agent.settings import AgentSettings
from manyserve.agent.state import AgentState
from manyserve.agent.volume.disk_budget import DiskBudget, disk_full_error
from manyserve.agent.volume.disk_space import Deduplicator
from manyserve.agent.volume.store import Store
from manyserve.api.modelconfig import Entry


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
    downloads: DownloadSlots = field(init=False)
    loads: TimeoutSemaphore = field(init=False)
    dedup: Deduplicator = field(init=False)
    budget: DiskBudget = field(init=False)
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    """Random, new at each start of the agent."""
    routing: Routing = field(init=False)

    def __post_init__(self) -> None:
        self.dedup = Deduplicator()
        self.budget = DiskBudget(self.settings)
        self.routing = Routing(self.instance, self.clock, self.state.changed.set)
        settings = self.settings
        slots = (settings.parallel_downloads, settings.slow_downloads, settings.download_slot_seconds)
        self.downloads = DownloadSlots(*slots)
        self.loads = TimeoutSemaphore(self.settings.parallel_loads, self.settings.load_slot_seconds)


class JobProgress(NamedTuple):
    """Progress of a job, as far as the report shows it."""

    step: Step | None = None
    """The running step; None while the job waits for a permit."""
    note: str = ""
    """Reason of a wait."""
    arrived: int | None = None
    """Bytes downloaded."""
    total: int | None = None
    """Bytes of the download, where the source declares its size."""


IDLE = JobProgress()


@dataclass
class Job:
    """Steps of one model towards its desired state. `entry` is None for a removal."""

    context: AgentContext
    name: str
    entry: Entry | None
    progress: JobProgress = IDLE
    is_noop: bool = False
    """The model was as desired at the start, so the job logs at DEBUG."""
    refused: bool = False
    """The server rejected the files."""
    previous_still_loaded: bool = False
    """The server had not been asked to load these files before."""
    unusable: Unusable | None = None
    """Downloaded files that cannot be used."""
    fingerprint: str = ""
    """Fingerprint of the source at the download."""
    is_versioned: bool = True
    """The source names versions, so that a refresh notices a change."""
    cancellable: bool = True
    """False while a cancellation would leave the server or the disk between two states."""

    @property
    def digest(self) -> str:
        """Digest of the desired spec; empty for a removal."""
        return self.entry.digest if self.entry else ""

    @property
    def is_superseded(self) -> bool:
        """Whether another spec, or none, is desired by now."""
        desired = self.context.state.desired.get(self.name)
        return (desired.digest if desired else "") != self.digest

    @property
    def retry_state(self) -> RetryState:
        """Retry state of earlier jobs for the same digest."""
        return self.context.state.retries.get(self.name, RetryState(self.digest)).for_digest(self.digest)

    @property
    def log_level(self) -> int:
        """Level of the log lines that a job without work repeats."""
        return logging.DEBUG if self.is_noop else logging.INFO

    def enter(self, step: Step, *, cancellable: bool) -> None:
        """Publish the start of a step."""
        self.cancellable = cancellable
        self.publish(JobProgress(step))

    def set_note(self, note: str) -> None:
        """Publish the reason of a wait."""
        self.publish(self.progress._replace(note=note))

    def publish(self, progress: JobProgress) -> None:
        """Publish the progress, if it changed."""
        if progress != self.progress:
            self.progress = progress
            self.context.state.changed.set()


class UpdateThrottle:
    """Rate limit of updates: one at first, then one for each interval at most."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next = float("-inf")

    def is_due(self, now: float) -> bool:
        """Return whether an update is due, and count it if so."""
        if now < self._next:
            return False
        self._next = now + self._interval
        return True


class ProgressReporter:
    """Progress listener of one download. Its methods run in the event loop."""

    def __init__(self, job: Job, listing: Listing, volume: Path, slot: Slot) -> None:
        self._job = job
        self._slot = slot
        self._listing = listing
        self._volume = volume
        self._throttle = UpdateThrottle(job.context.settings.progress_seconds)
        self._arrived = 0
        self._reservation = job.context.budget.reserve(job.name, listing.size)

    def __enter__(self) -> ProgressReporter:
        self._store = self._reservation.__enter__()
        self.arrived(0)
        return self

    def __exit__(self, *error: object) -> None:
        self._reservation.__exit__(None, None, None)

    def arrived(self, count: int) -> None:
        """Count bytes of the network, and publish the sum when an update is due."""
        context = self._job.context
        context.metrics.bytes.inc(count)
        self._arrived += count
        self._slot.count(count)
        if self._throttle.is_due(context.clock()):
            self._job.publish(JobProgress(Step.FETCH, arrived=self._arrived, total=self._listing.size or None))

    def complete(self) -> None:
        """Free the slot, since the network is not used any more."""
        self._slot.release()

    def stored(self, count: int) -> None:
        """Count bytes of the volume. Raises `DownloadError` before bytes beyond the listed size fill it."""
        if self._store(count) > 0:
            space = self._job.context.budget.space_for(self._job.name, self._volume)
            if not space.fits(0):
                raise disk_full_error(self._listing.uri, 0, space)
