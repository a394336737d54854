"""Leader election by a Lease, as client-go does it; the replicas that do not lead keep their caches warm.

A replica takes the Lease when it is free, or unchanged for its whole duration by the replica's own clock. The clocks of
other machines do not matter. Scenarios of two replicas, with the default timing in seconds:

    A1  The leader dies.
            r1  renews ── renews ── dies
            r2  polls ─────────────────── 12 s unchanged ──▶ writes the Lease, leads
    A2  The leader ends in order.
            r1  stops its work ──▶ releases the Lease
            r2  polls each second ─────────────────────────▶ leads

    B1  The leader cannot renew, and r2 reaches the API server.
            r1  renews at 0 ──── fails ──── 8: begins no write, stops its work ── 11: its last write has ended
            r2  polls ───────────────────────────────────────────────── 12 or later ──▶ leads
    B2  No replica reaches the API server.
            r1  renews at 0 ──── fails ──── 8: stops its work, and waits
            r2  fails to poll, and waits; the first to reach the API server again leads
        The process does not end: both would list everything at once after an outage.

    C1  Two replicas write the Lease at once.
            r1  writes v7 ──▶ 200 v8, leads
            r2  writes v7 ──▶ 409, waits
    C2  The container of the leader starts again in its pod.
            r1  reads its own name in the Lease ──▶ leads at once

`cluster.fence` refuses the writes of B1 and B2.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from manyserve.cluster.clock import utc_now
from manyserve.cluster.errors import ClusterError, Forbidden, Invalid, NotFound
from manyserve.cluster.fence import Fence, running_time
from manyserve.cluster.lease import Lease, Record, Stored

LeadershipScope = Callable[[], AbstractAsyncContextManager[None]]
"""Works while it is entered; left, it has stopped."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaseTiming:
    """How the Lease is held, in seconds."""

    lease: int = 12
    renew: float = 2.0
    look: float = 1.0
    """Between two looks of one that waits, and between two tries of one that could not renew."""
    patience: float = 3.0
    """For one look with its write."""


LEASE_TIMING = LeaseTiming()


@dataclass(frozen=True)
class ObservedRecord:
    """What the Lease said when it was last read, and since when, by our own clock, it says so."""

    record: Record
    version: str | None
    """None when there is no Lease."""
    since: float


def observe_record(before: ObservedRecord | None, stored: Stored | None, now: float) -> ObservedRecord:
    """Return what is seen now; a Lease that was deleted still holds as long as it said."""
    if stored is None:
        return replace(before, version=None) if before else ObservedRecord(Record(), None, now)
    unchanged = before is not None and before.record == stored.record
    return ObservedRecord(stored.record, stored.version, before.since if before and unchanged else now)


def may_acquire(seen: ObservedRecord, now: float, me: str) -> bool:
    """Tell whether we may hold the Lease: it is ours, or nobody's, or it has not been renewed in time."""
    return seen.record.holder in ("", me) or now - seen.since >= (seen.record.seconds or LEASE_TIMING.lease)


def next_record(record: Record, me: str, seconds: int, wall: datetime) -> Record:
    """Return what the Lease says when we hold it."""
    now = wall.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if record.holder == me:
        return replace(record, seconds=seconds, renewed=now)
    return Record(me, seconds, now, now, record.transitions + 1)


class LeaderElector:
    """Stands for election, while `run` runs.

    Parameters
    ----------
    fence
        Opened at each renewal, shut at the end of each term.
    me
        What the Lease names us; no two processes that live at the same time have the same.
    """

    def __init__(
        self,
        lease: Lease,
        fence: Fence,
        me: str,
        *,
        pace: LeaseTiming = LEASE_TIMING,
        clock: Callable[[], float] = running_time,
    ) -> None:
        self.last_attempt: float | None = None
        """When the Lease was last looked at, even if only to find that the API server is away."""
        self.refused: str | None = None
        """Why the Lease cannot be used at all, in a sentence."""
        self._trouble: str | None = None
        self._lease = lease
        self._fence = fence
        self._me = me
        self._pace = pace
        self._clock = clock
        self._seen: ObservedRecord | None = None

    async def run(self, term: LeadershipScope) -> None:
        """Work whenever we may, until cancelled; then give the Lease back."""
        while True:
            await self._acquire()
            try:
                _log.info("became leader: %s holds Lease %s", self._me, self._lease)
                async with term():
                    await self._renew()
            finally:
                self._fence.shut()
                await self._release()

    async def _acquire(self) -> None:
        """Wait until we hold the Lease."""
        while not await self._try_acquire_or_renew():  # noqa: ASYNC110  it is the API server that is asked
            await asyncio.sleep(self._pace.look * random.uniform(0.8, 1.2))  # noqa: S311  only spreads the replicas

    async def _renew(self) -> None:
        """Renew the Lease, until it is another's or could not be renewed for too long; then nothing is written."""
        pause = self._pace.renew
        try:
            while self._fence.is_open:
                await asyncio.sleep(pause)
                held = await self._try_acquire_or_renew()
                if held is False:
                    break
                pause = self._pace.renew if held else self._pace.look
        finally:
            self._fence.shut()
            _log.info("stopped leading: %s", self._me)

    async def _try_acquire_or_renew(self) -> bool | None:
        """Return whether we hold the Lease, or None when that could not be found out."""
        try:
            async with asyncio.timeout(self._pace.patience):
                held = await self._acquire_or_renew_once()
        except (ClusterError, TimeoutError) as error:
            self._note(str(error) or f"no answer in {self._pace.patience:g} s")
            self.refused = self._trouble if isinstance(error, Forbidden | Invalid | NotFound) else self.refused
            return None
        finally:
            self.last_attempt = self._clock()
        self.refused = self._trouble = None
        return held

    def _note(self, trouble: str) -> None:
        """Log what is wrong, once for as long as it stays the same."""
        if trouble != self._trouble:
            _log.warning("Lease %s: %s", self._lease, trouble)
        self._trouble = trouble

    async def _acquire_or_renew_once(self) -> bool:
        """Look at the Lease, and hold it if we may."""
        self._seen = observe_record(self._seen, await self._lease.read(), self._clock())
        began = self._clock()
        if not may_acquire(self._seen, began, self._me):
            return False
        record = next_record(self._seen.record, self._me, self._pace.lease, utc_now())
        stored = await self._lease.write(record, self._seen.version)
        self._seen = observe_record(self._seen, stored, self._clock())
        self._fence.open_until(began + self._pace.lease)
        return True

    async def _release(self) -> None:
        """Say in the Lease that nobody works, if it is ours."""
        try:
            async with asyncio.timeout(self._pace.patience):
                stored = await self._lease.read()
                if stored and stored.record.holder == self._me:
                    await self._lease.write(replace(stored.record, holder="", seconds=1), stored.version)
        except (ClusterError, TimeoutError) as error:
            _log.warning("Lease %s could not be given back, and ends by itself: %s", self._lease, error)
