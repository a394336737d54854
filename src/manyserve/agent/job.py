"""A job, the work for one model, as data."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

from manyserve.agent.context import AgentContext
from manyserve.agent.reconcile import Step
from manyserve.agent.retry import RetryState
from manyserve.api.modelconfig import Entry


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
    is_slow: bool = False
    """The load takes so long that the pod's readiness does not wait for it."""
    refused: bool = False
    """The server rejected the files."""
    previous_still_loaded: bool = False
    """The server had not been asked to load these files before."""
    digest_mismatch: tuple[str, str] | None = None
    """Fingerprint of a source with the wrong content digest, and the error message."""
    fingerprint: str = ""
    """Fingerprint of the source at the download."""
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
