"""Event recorder: deduplication, limits and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from manyserve.cluster.events import BURST, EventRecorder, Predicate, build_event, never
from manyserve.plan.actions import Event
from tests.support.clock import FakeClock
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi, served

MINUTE = 60.0


def event(message: str = "it answers", uid: str = "u") -> Event:
    return Event("TrainedModel", "m", uid, "Normal", "Ready", message)


@asynccontextmanager
async def recording(server: FakeApi, clock: FakeClock, pause_normal: Predicate = never) -> AsyncIterator[EventRecorder]:
    async with served(server) as client:
        recorder = EventRecorder(client, clock, pause_normal)
        task = asyncio.create_task(recorder.run())
        yield recorder
        assert not task.done()
        task.cancel()


async def drained(recorder: EventRecorder, server: FakeApi, count: int) -> None:
    await eventually(lambda: recorder._others.empty() and len(server.requests) >= count)


def test_event_refers_to_its_object_as_describe_expects() -> None:
    built = build_event("n", event(), datetime(2026, 1, 1, tzinfo=UTC))
    assert built["involvedObject"] == {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "TrainedModel",
        "name": "m",
        "namespace": "n",
        "uid": "u",
    }
    assert (built["reason"], built["message"], built["count"]) == ("Ready", "it answers", 1)


async def test_event_repeated_counts_up_at_most_once_a_minute() -> None:
    server, clock = FakeApi(), FakeClock()
    async with recording(server, clock) as recorder:
        for _ in range(10):
            recorder.record("n", event())
        await drained(recorder, server, 1)
        clock.now = MINUTE
        recorder.record("n", event())
        await drained(recorder, server, 2)
    assert [request[0] for request in server.requests] == ["POST", "PATCH"]
    assert server.requests[1][4] is not None
    assert server.requests[1][4]["count"] == 2


async def test_event_that_expired_is_created_again() -> None:
    server, clock = FakeApi(), FakeClock()
    async with recording(server, clock) as recorder:
        recorder.record("n", event())
        await drained(recorder, server, 1)
        clock.now = MINUTE
        server.answers.append((404, {}, {"message": "not found"}))
        recorder.record("n", event())
        await drained(recorder, server, 3)
    assert [request[0] for request in server.requests] == ["POST", "PATCH", "POST"]


def once(uid: str = "u", message: str = "manyserve stops acting") -> Event:
    return Event("InferenceService", "h", uid, "Warning", "NotManaged", message, once=True)


async def test_event_with_once_is_not_counted_up() -> None:
    server, clock = FakeApi(), FakeClock()
    async with recording(server, clock) as recorder:
        recorder.record("n", once())
        await eventually(lambda: len(server.requests) == 1)
        clock.now = 2 * MINUTE
        recorder.record("n", once())
        recorder.record("n", once(uid="another"))
        await eventually(lambda: len(server.requests) == 2)
    assert [request[0] for request in server.requests] == ["POST", "POST"]


async def test_event_with_once_may_exist_already(caplog: pytest.LogCaptureFixture) -> None:
    server = FakeApi()
    for _ in range(2):
        async with recording(server, FakeClock()) as recorder:
            recorder.record("n", once())
            await eventually(lambda: len(server.requests) % 2 == 1)
            recorder.record("n", once(uid="another"))
            await eventually(lambda: len(server.requests) % 2 == 0)
            server.answers.append((409, {}, {"reason": "AlreadyExists", "message": "it exists"}))
    names = [body["metadata"]["name"] for *_, body in server.requests if body]
    assert names[0] == names[2] != names[1] == names[3]
    assert "event not sent" not in caplog.text


def test_event_with_once_is_named_by_object_reason_and_message() -> None:
    events = (once(), once(uid="another"), once(message="another"), once())
    names = [build_event("n", each, datetime(2026, 1, 1, tzinfo=UTC))["metadata"]["name"] for each in events]
    assert len(set(names)) == 3
    assert names[0] == names[3]


async def test_event_recorder_limits_new_events_of_an_object() -> None:
    server, clock = FakeApi(), FakeClock()
    async with recording(server, clock) as recorder:
        for number in range(100):
            recorder.record("n", event(f"number {number}"))
        recorder.record("n", event(uid="another"))
        await drained(recorder, server, BURST + 1)
    assert len(server.requests) == BURST + 1


async def test_event_recorder_continues_after_an_error() -> None:
    server, clock = FakeApi(), FakeClock()
    server.answers.append((500, {}, {"message": "oh"}))
    async with recording(server, clock) as recorder:
        recorder.record("n", event("one"))
        recorder.record("n", event("two"))
        await drained(recorder, server, 2)
    assert [(request.verb, request.body and request.body["message"]) for request in server.requests] == [
        ("POST", "one"),
        ("POST", "two"),
    ]


async def test_event_recorder_holds_normal_events_and_sends_warnings() -> None:
    server, paused = FakeApi(), [True]
    warning = Event("TrainedModel", "m", "u", "Warning", "LoadFailed", "it is torn")
    async with recording(server, FakeClock(), lambda: paused[0]) as recorder:
        recorder.record("n", event())
        recorder.record("n", warning)
        await eventually(lambda: len(server.requests) == 1)
        assert [body and body["reason"] for *_, body in server.requests] == ["LoadFailed"]
        paused.clear()
        paused.append(False)
        await eventually(lambda: len(server.requests) == 2)
