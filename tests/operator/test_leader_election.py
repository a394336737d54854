"""Leader election by the Lease and the clock of a replica. Only the tests move that clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from manyserve.cluster.errors import ClusterError, Conflict, Forbidden, Unavailable
from manyserve.cluster.fence import MARGIN, SHORTEST_WRITE, Fence
from manyserve.cluster.lease import Record, Stored
from manyserve.operator.leader_election import (
    LEASE_TIMING,
    LeaderElector,
    ObservedRecord,
    may_acquire,
    next_record,
    observe_record,
)
from tests.support.clock import FakeClock
from tests.support.eventually import eventually

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
A = Record("a", 12, "then", "1", 3)
QUICK = replace(LEASE_TIMING, renew=0.001, retry=0.001)


@pytest.mark.parametrize(
    ("record", "age", "may"),
    [
        (Record(), 0, True),
        (replace(A, holder="me"), 0, True),
        (replace(A, holder=""), 0, True),
        (A, 0, False),
        (A, 11.9, False),
        (A, 12, True),
        (replace(A, seconds=30), 12, False),
        (replace(A, seconds=0), 11.9, False),
        (replace(A, seconds=0), 12, True),
    ],
    ids=str,
)
def test_lease_may_be_acquired_when_it_is_ours_or_free_or_expired(record: Record, age: float, may: bool) -> None:
    assert may_acquire(ObservedRecord(record, "1", 100.0), 100.0 + age, "me") is may


def test_lease_expires_by_our_clock_from_its_first_observation() -> None:
    first = observe_record(None, Stored(A, "1"), 100.0)
    again = observe_record(first, Stored(A, "2"), 105.0)
    assert (again.since, again.version) == (100.0, "2")
    renewed = observe_record(again, Stored(replace(A, renewed="1970-01-01T00:00:00.000000Z"), "3"), 106.0)
    assert renewed.since == 106.0


def test_lease_that_was_deleted_is_valid_until_its_end() -> None:
    deleted = observe_record(observe_record(None, Stored(A, "1"), 100.0), None, 105.0)
    assert deleted.version is None
    assert [may_acquire(deleted, now, "me") for now in (105.0, 111.9, 112.0)] == [False, False, True]


def test_lease_renewal_keeps_acquire_time_and_transitions() -> None:
    mine = next_record(A, "me", 12, NOON)
    assert mine == Record("me", 12, "2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:00.000000Z", 4)
    later = next_record(mine, "me", 12, NOON + timedelta(seconds=2))
    assert later == replace(mine, renewed="2026-01-01T12:00:02.000000Z")


class FakeLease:
    """A Lease in memory, with faults."""

    def __init__(self) -> None:
        self.stored: Stored | None = None
        self.error: ClusterError | None = None
        self.lost_responses = 0
        self.reads = self.writes = 0

    async def read(self) -> Stored | None:
        self.reads += 1
        self._raise_error()
        return self.stored

    async def write(self, record: Record, version: str | None) -> Stored:
        self._raise_error()
        if version != (self.stored and self.stored.version):
            raise Conflict("it has changed")
        self.writes += 1
        self.stored = Stored(record, str(self.writes))
        if self.lost_responses:
            self.lost_responses -= 1
            raise Unavailable("the response was lost")
        return self.stored

    @property
    def holder(self) -> str | None:
        return self.stored.record.holder if self.stored else None

    def _raise_error(self) -> None:
        if self.error:
            raise self.error


class Replica:
    """One replica with its elector, fence and clock."""

    def __init__(self, lease: FakeLease, name: str) -> None:
        self.clock = FakeClock(1000.0)
        self.leads = False
        self.terms = 0
        self.fence = Fence(self.clock)
        self.elector = LeaderElector(lease, self.fence, name, timing=QUICK, clock=self.clock)  # type: ignore[arg-type]

    @asynccontextmanager
    async def leadership(self) -> AsyncIterator[None]:
        assert self.fence.is_open
        self.leads, self.terms = True, self.terms + 1
        try:
            yield
        finally:
            assert not self.fence.is_open, "no write leaves while the work stops"
            self.leads = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Replica]:
        task = asyncio.create_task(self.elector.run(self.leadership))
        yield self
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def renewals(lease: FakeLease, count: int = 20) -> None:
    """Wait until the holder has renewed the Lease `count` times."""
    before = lease.writes
    await eventually(lambda: lease.writes >= before + count)


async def test_leader_leads_while_it_renews_and_releases_the_lease() -> None:
    lease = FakeLease()
    async with Replica(lease, "a").running() as a:
        await eventually(lambda: a.leads)
        async with Replica(lease, "b").running() as b:
            for _ in range(10):
                a.clock.now, b.clock.now = a.clock.now + 5, b.clock.now + 5
                await renewals(lease, 3)
            assert (a.terms, b.leads, lease.holder) == (1, False, "a")
    assert (a.leads, lease.holder) == (False, "")
    async with Replica(lease, "c").running() as c:
        await eventually(lambda: c.leads)
        assert lease.stored
        assert lease.stored.record.transitions == 2


async def test_leader_that_is_silent_is_followed_after_a_lease() -> None:
    lease = FakeLease()
    lease.stored = Stored(A, "0")
    async with Replica(lease, "b").running() as b:
        await eventually(lambda: b.elector.last_attempt)
        b.clock.now += 11.9
        await eventually(lambda: b.elector.last_attempt == b.clock.now)
        assert not b.leads
        b.clock.now += 0.1
        await eventually(lambda: b.leads)


async def test_fault_12_leader_that_cannot_renew_stops_before_the_next_one_begins() -> None:
    lease = FakeLease()
    async with Replica(lease, "a").running() as a:
        await eventually(lambda: a.leads)
        await renewals(lease, 2)
        lease.error = Unavailable("the API server is away")
        a.clock.now += LEASE_TIMING.lease - MARGIN - SHORTEST_WRITE - 0.1
        assert a.fence.is_open
        a.clock.now += 0.2
        assert not a.fence.is_open
        await eventually(lambda: not a.leads)
        assert lease.holder == "a", "it could not release the Lease"
        lease.error = None
        await eventually(lambda: a.leads)
        assert a.terms == 2, "it leads again without a restart"


async def test_leader_frozen_for_longer_than_a_lease_writes_nothing() -> None:
    lease = FakeLease()
    async with Replica(lease, "a").running() as a:
        await eventually(lambda: a.leads)
        lease.stored = Stored(replace(A, holder="b"), "b's")
        a.clock.now += 60
        assert not a.fence.is_open, "before any of its tasks has run"
        await eventually(lambda: not a.leads)
        assert lease.holder == "b", "the Lease of another holder is not released"


async def test_leader_that_reads_another_holder_stops_at_once() -> None:
    lease = FakeLease()
    async with Replica(lease, "a").running() as a:
        await eventually(lambda: a.leads)
        lease.stored = Stored(replace(A, holder="b"), "b's")
        await eventually(lambda: not a.leads)


async def test_leader_survives_lost_responses_to_renewals() -> None:
    lease = FakeLease()
    async with Replica(lease, "a").running() as a:
        await eventually(lambda: a.leads)
        lease.lost_responses = 3
        await renewals(lease)
        assert (a.leads, a.terms) == (True, 1)


async def test_lease_that_is_forbidden_is_reported_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    lease = FakeLease()
    lease.error = Forbidden("leases.coordination.k8s.io is forbidden")
    async with Replica(lease, "a").running() as a:
        await eventually(lambda: a.elector.refused == "leases.coordination.k8s.io is forbidden" and lease.reads > 10)
        assert [each.levelname for each in caplog.records] == ["WARNING"]
        lease.error = None
        await eventually(lambda: a.leads)
        assert a.elector.refused is None
