"""Progress of a download: bytes that arrived, for the report, and bytes that were stored, for the disk budget."""

from __future__ import annotations

from pathlib import Path

from manyserve.agent.download import Listing
from manyserve.agent.job import Job, JobProgress
from manyserve.agent.reconcile import Step
from manyserve.agent.volume.disk_budget import disk_full_error


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

    def __init__(self, job: Job, listing: Listing, volume: Path) -> None:
        self._job = job
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
        if self._throttle.is_due(context.clock()):
            self._job.publish(JobProgress(Step.FETCH, arrived=self._arrived, total=self._listing.size or None))

    def stored(self, count: int) -> None:
        """Count bytes of the volume. Raises `DownloadError` before bytes beyond the listed size fill it."""
        if self._store(count) > 0:
            space = self._job.context.budget.space_for(self._job.name, self._volume)
            if not space.fits(0):
                raise disk_full_error(self._listing.uri, 0, space)
