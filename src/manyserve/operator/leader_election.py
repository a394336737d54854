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

`cluster.fence` refuses the writes of B1 and B2. docs/decisions/0011-leader-election-of-our-own.md has the reasons.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from manyserve.cluster.clock import running_time, utc_now
from manyserve.cluster.errors import ClusterError, Forbidden, Invalid, NotFound
from manyserve.cluster.fence import Fence
from manyserve.cluster.lease import Lease, Record, Stored

LeadershipScope = Callable[[], AbstractAsyncContextManager[None]]
"""Context of a leadership: the work runs inside, and has stopped at the exit."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaseTiming:
    """Timing of the Lease, in seconds."""

    lease: int = 12
    """Validity after a renewal."""
    renew: float = 2.0
    """Between two renewals."""
    retry: float = 1.0
    """Between two polls of a standby, and between two attempts of a leader that could not renew."""
    timeout: float = 3.0
    """Of one read and its write."""


LEASE_TIMING = LeaseTiming()


@dataclass(frozen=True)
class ObservedRecord:
    """The Lease as it was last read, and the time of our own clock since which it is unchanged."""

    record: Record
    version: str | None
    """None when the Lease does not exist."""
    since: float


def observe_record(before: ObservedRecord | None, stored: Stored | None, now: float) -> ObservedRecord:
    """Return the new observation. A deleted Lease is valid until its old end."""
    if stored is None:
        return replace(before, version=None) if before else ObservedRecord(Record(), None, now)
    unchanged = before is not None and before.record == stored.record
    return ObservedRecord(stored.record, stored.version, before.since if before and unchanged else now)


def may_acquire(observed: ObservedRecord, now: float, identity: str) -> bool:
    """Return whether this replica may hold the Lease: it is ours or free, or was not renewed in time."""
    seconds = observed.record.seconds or LEASE_TIMING.lease
    return observed.record.holder in ("", identity) or now - observed.since >= seconds


def next_record(record: Record, identity: str, seconds: int, now: datetime) -> Record:
    """Return the content of the Lease with this replica as the holder."""
    renewed = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if record.holder == identity:
        return replace(record, seconds=seconds, renewed=renewed)
    return Record(identity, seconds, renewed, renewed, record.transitions + 1)


class LeaderElector:
    """Leader elector of one replica, while `run` runs.

    Parameters
    ----------
    fence
        Opened at each renewal, shut at the end of each leadership.
    identity
        Our name in the Lease. No two processes that live at the same time have the same.
    """

    def __init__(
        self,
        lease: Lease,
        fence: Fence,
        identity: str,
        *,
        timing: LeaseTiming = LEASE_TIMING,
        clock: Callable[[], float] = running_time,
    ) -> None:
        self.last_attempt: float | None = None
        """Time of the last attempt to read the Lease, successful or not."""
        self.refused: str | None = None
        """The reason in a sentence while the API server refuses the Lease, or None."""
        self._problem: str | None = None
        self._lease = lease
        self._fence = fence
        self._identity = identity
        self._timing = timing
        self._clock = clock
        self._observed: ObservedRecord | None = None

    async def run(self, leadership: LeadershipScope) -> None:
        """Run `leadership` whenever this replica leads, until cancelled; then release the Lease."""
        while True:
            await self._acquire()
            try:
                _log.info("became leader: %s holds Lease %s", self._identity, self._lease)
                async with leadership():
                    await self._renew()
            finally:
                self._fence.shut()
                await self._release()

    async def _acquire(self) -> None:
        """Wait until this replica holds the Lease."""
        while not await self._try_acquire_or_renew():  # noqa: ASYNC110  a poll of the API server
            await asyncio.sleep(self._timing.retry * random.uniform(0.8, 1.2))  # noqa: S311  only spreads the replicas

    async def _renew(self) -> None:
        """Renew the Lease until another replica holds it, or the fence shuts. Then shut the fence."""
        pause = self._timing.renew
        try:
            while self._fence.is_open:
                await asyncio.sleep(pause)
                held = await self._try_acquire_or_renew()
                if held is False:
                    break
                pause = self._timing.renew if held else self._timing.retry
        finally:
            self._fence.shut()
            _log.info("stopped leading: %s", self._identity)

    async def _try_acquire_or_renew(self) -> bool | None:
        """Return whether this replica holds the Lease, or None when the attempt failed."""
        try:
            async with asyncio.timeout(self._timing.timeout):
                held = await self._acquire_or_renew_once()
        except (ClusterError, TimeoutError) as error:
            self._log_problem(str(error) or f"no response in {self._timing.timeout:g} s")
            self.refused = self._problem if isinstance(error, Forbidden | Invalid | NotFound) else self.refused
            return None
        finally:
            self.last_attempt = self._clock()
        self.refused = self._problem = None
        return held

    def _log_problem(self, problem: str) -> None:
        """Log a problem once for as long as it stays the same."""
        if problem != self._problem:
            _log.warning("Lease %s: %s", self._lease, problem)
        self._problem = problem

    async def _acquire_or_renew_once(self) -> bool:
        """Read the Lease, and write it if this replica may hold it."""
        self._observed = observe_record(self._observed, await self._lease.read(), self._clock())
        began = self._clock()
        if not may_acquire(self._observed, began, self._identity):
            return False
        record = next_record(self._observed.record, self._identity, self._timing.lease, utc_now())
        stored = await self._lease.write(record, self._observed.version)
        self._observed = observe_record(self._observed, stored, self._clock())
        self._fence.open_until(began + self._timing.lease)
        return True

    async def _release(self) -> None:
        """Free the Lease, if it is ours."""
        try:
            async with asyncio.timeout(self._timing.timeout):
                stored = await self._lease.read()
                if stored and stored.record.holder == self._identity:
                    await self._lease.write(replace(stored.record, holder="", seconds=1), stored.version)
        except (ClusterError, TimeoutError) as error:
            _log.warning("cannot release Lease %s, it expires by itself: %s", self._lease, error)
