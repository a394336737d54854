"""Who works, decided and held: by the Lease and a replica's own clock. The clock here moves only when told."""

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
def test_a_lease_is_taken_when_it_is_ours_or_nobodys_or_not_renewed_in_time(
    record: Record, age: float, may: bool
) -> None:
    assert may_acquire(ObservedRecord(record, "1", 100.0), 100.0 + age, "me") is may


def test_time_is_counted_from_when_the_lease_was_first_seen_so_whatever_it_says_itself() -> None:
    first = observe_record(None, Stored(A, "1"), 100.0)
    again = observe_record(first, Stored(A, "2"), 105.0)
    assert (again.since, again.version) == (100.0, "2")
    renewed = observe_record(again, Stored(replace(A, renewed="1970-01-01T00:00:00.000000Z"), "3"), 106.0)
    assert renewed.since == 106.0


def test_a_lease_that_was_deleted_holds_as_long_as_it_said() -> None:
    gone = observe_record(observe_record(None, Stored(A, "1"), 100.0), None, 105.0)
    assert gone.version is None
    assert [may_acquire(gone, now, "me") for now in (105.0, 111.9, 112.0)] == [False, False, True]


def test_a_renewal_keeps_since_when_and_counts_nothing() -> None:
    mine = next_record(A, "me", 12, NOON)
    assert mine == Record("me", 12, "2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:00.000000Z", 4)
    later = next_record(mine, "me", 12, NOON + timedelta(seconds=2))
    assert later == replace(mine, renewed="2026-01-01T12:00:02.000000Z")


class Shelf:
    """A Lease that is kept here, and that breaks on purpose."""

    def __init__(self) -> None:
        self.stored: Stored | None = None
        self.breaks: ClusterError | None = None
        self.loses_answers = 0
        self.reads = self.writes = 0

    async def read(self) -> Stored | None:
        self.reads += 1
        self._break()
        return self.stored

    async def write(self, record: Record, version: str | None) -> Stored:
        self._break()
        if version != (self.stored and self.stored.version):
            raise Conflict("it has changed")
        self.writes += 1
        self.stored = Stored(record, str(self.writes))
        if self.loses_answers:
            self.loses_answers -= 1
            raise Unavailable("the answer was lost")
        return self.stored

    @property
    def holder(self) -> str | None:
        return self.stored.record.holder if self.stored else None

    def _break(self) -> None:
        if self.breaks:
            raise self.breaks


class Replica:
    """One replica that stands for election."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        self.clock = FakeClock(1000.0)
        self.works = False
        self.terms = 0
        self.fence = Fence(self.clock)
        self.elector = LeaderElector(shelf, self.fence, name, timing=QUICK, clock=self.clock)  # type: ignore[arg-type]

    @asynccontextmanager
    async def term(self) -> AsyncIterator[None]:
        assert self.fence.is_open
        self.works, self.terms = True, self.terms + 1
        try:
            yield
        finally:
            assert not self.fence.is_open, "nothing is written any more while the work is stopped"
            self.works = False

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[Replica]:
        task = asyncio.create_task(self.elector.run(self.term))
        yield self
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def turns(shelf: Shelf, count: int = 20) -> None:
    """Wait until the holder has renewed the Lease some times."""
    before = shelf.writes
    await eventually(lambda: shelf.writes >= before + count)


async def test_one_of_two_works_for_as_long_as_it_renews_and_gives_the_lease_back() -> None:
    shelf = Shelf()
    async with Replica(shelf, "a").standing() as a:
        await eventually(lambda: a.works)
        async with Replica(shelf, "b").standing() as b:
            for _ in range(10):
                a.clock.now, b.clock.now = a.clock.now + 5, b.clock.now + 5
                await turns(shelf, 3)
            assert (a.terms, b.works, shelf.holder) == (1, False, "a")
    assert (a.works, shelf.holder) == (False, "")
    async with Replica(shelf, "c").standing() as c:
        await eventually(lambda: c.works)
        assert shelf.stored
        assert shelf.stored.record.transitions == 2


async def test_one_that_says_nothing_any_more_is_followed_after_a_lease() -> None:
    shelf = Shelf()
    shelf.stored = Stored(A, "0")
    async with Replica(shelf, "b").standing() as b:
        await eventually(lambda: b.elector.last_attempt)
        b.clock.now += 11.9
        await eventually(lambda: b.elector.last_attempt == b.clock.now)
        assert not b.works
        b.clock.now += 0.1
        await eventually(lambda: b.works)


async def test_fault_12_one_that_cannot_renew_stops_before_another_may_begin() -> None:
    shelf = Shelf()
    async with Replica(shelf, "a").standing() as a:
        await eventually(lambda: a.works)
        await turns(shelf, 2)
        shelf.breaks = Unavailable("the API server is away")
        a.clock.now += LEASE_TIMING.lease - MARGIN - SHORTEST_WRITE - 0.1
        assert a.fence.is_open
        a.clock.now += 0.2
        assert not a.fence.is_open
        await eventually(lambda: not a.works)
        assert shelf.holder == "a", "it could not even give it back"
        shelf.breaks = None
        await eventually(lambda: a.works)
        assert a.terms == 2, "it goes on without having been restarted"


async def test_one_that_was_frozen_for_longer_than_a_lease_writes_nothing_when_it_wakes() -> None:
    shelf = Shelf()
    async with Replica(shelf, "a").standing() as a:
        await eventually(lambda: a.works)
        shelf.stored = Stored(replace(A, holder="b"), "b's")
        a.clock.now += 60
        assert not a.fence.is_open, "before any of its tasks has run"
        await eventually(lambda: not a.works)
        assert shelf.holder == "b", "what is another's is not given back"


async def test_one_that_reads_anothers_name_stops_at_once() -> None:
    shelf = Shelf()
    async with Replica(shelf, "a").standing() as a:
        await eventually(lambda: a.works)
        shelf.stored = Stored(replace(A, holder="b"), "b's")
        await eventually(lambda: not a.works)


async def test_a_renewal_whose_answer_is_lost_ends_nothing() -> None:
    shelf = Shelf()
    async with Replica(shelf, "a").standing() as a:
        await eventually(lambda: a.works)
        shelf.loses_answers = 3
        await turns(shelf)
        assert (a.works, a.terms) == (True, 1)


async def test_a_lease_that_may_not_be_used_is_said_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    shelf.breaks = Forbidden("leases.coordination.k8s.io is forbidden")
    async with Replica(shelf, "a").standing() as a:
        await eventually(lambda: a.elector.refused == "leases.coordination.k8s.io is forbidden" and shelf.reads > 10)
        assert [each.levelname for each in caplog.records] == ["WARNING"]
        shelf.breaks = None
        await eventually(lambda: a.works)
        assert a.elector.refused is None
