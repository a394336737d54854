"""What a download tells while it goes on: how far it is, for the report, and what it stores, for the budget."""

from __future__ import annotations

from pathlib import Path

from manyserve.agent.budget import full
from manyserve.agent.download import Listing
from manyserve.agent.job import Doing, Job
from manyserve.agent.sync import Step


class Pace:
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


class Told:
    """Hears of the bytes of one download, in the loop."""

    def __init__(self, job: Job, listing: Listing, volume: Path) -> None:
        self._job = job
        self._listing = listing
        self._volume = volume
        self._pace = Pace(job.shop.settings.progress_seconds)
        self._arrived = 0
        self._taken = job.shop.budget.taken(job.name, listing.size)

    def __enter__(self) -> Told:
        self._store = self._taken.__enter__()
        self.arrived(0)
        return self

    def __exit__(self, *error: object) -> None:
        self._taken.__exit__(None, None, None)

    def arrived(self, count: int) -> None:
        """Count bytes of the network, and tell the report now and then."""
        shop = self._job.shop
        shop.metrics.bytes.inc(count)
        self._arrived += count
        if self._pace.is_due(shop.clock()):
            self._job.tell(Doing(Step.FETCH, arrived=self._arrived, total=self._listing.size or None))

    def stored(self, count: int) -> None:
        """Count bytes of the volume. Raises `DownloadError` before those that were not foreseen fill it."""
        if self._store(count) > 0:
            room = self._job.shop.budget.room(self._job.name, self._volume)
            if not room.fits(0):
                raise full(self._listing.uri, 0, room)
