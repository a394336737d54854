"""What a download tells while it goes on: how far it is, for the report, and what it stores, for the budget."""

from __future__ import annotations

from pathlib import Path

from manyserve.agent.download import Listing
from manyserve.agent.job import Job, JobProgress
from manyserve.agent.reconcile import Step
from manyserve.agent.volume.disk_budget import disk_full_error


class UpdateThrottle:
    """When a count is told again: at first, then no more often than every so many seconds."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._next = float("-inf")

    def is_due(self, now: float) -> bool:
        """Tell whether it is time; if so, the next time is later."""
        if now < self._next:
            return False
        self._next = now + self._every
        return True


class ProgressReporter:
    """Hears of the bytes of one download, in the loop."""

    def __init__(self, job: Job, listing: Listing, volume: Path) -> None:
        self._job = job
        self._listing = listing
        self._volume = volume
        self._pace = UpdateThrottle(job.context.settings.progress_seconds)
        self._arrived = 0
        self._taken = job.context.budget.taken(job.name, listing.size)

    def __enter__(self) -> ProgressReporter:
        self._store = self._taken.__enter__()
        self.arrived(0)
        return self

    def __exit__(self, *error: object) -> None:
        self._taken.__exit__(None, None, None)

    def arrived(self, count: int) -> None:
        """Count bytes of the network, and tell the report now and then."""
        shop = self._job.context
        shop.metrics.bytes.inc(count)
        self._arrived += count
        if self._pace.is_due(shop.clock()):
            self._job.publish(JobProgress(Step.FETCH, arrived=self._arrived, total=self._listing.size or None))

    def stored(self, count: int) -> None:
        """Count bytes of the volume. Raises `DownloadError` before those that were not foreseen fill it."""
        if self._store(count) > 0:
            room = self._job.context.budget.room(self._job.name, self._volume)
            if not room.fits(0):
                raise disk_full_error(self._listing.uri, 0, room)
