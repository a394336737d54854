"""The status writer: the newest desired status of each object is written, by priority and in turn among hosts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from manyserve.api.conditions import READY, Condition, find
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModelStatus
from manyserve.cluster.errors import Conflict, Invalid, OutOfScope, Throttled, Unavailable
from manyserve.cluster.limiter import BACKOFF, MAX_IN_FLIGHT, Limiter
from manyserve.cluster.state import USERS_IDLE, ClusterState
from manyserve.cluster.status_writer import StatusWriter
from manyserve.plan.actions import PROGRESS_GRACE, Event, Priority, SetStatus
from tests.support import make
from tests.support.eventually import eventually

HOST, OTHER = Key("default", "triton-mms"), Key("default", "other")
FINAL, PROGRESS, CHANGED, TRANSIENT = Priority


class Server:
    """The informer of every kind: it takes patches when it is let, and stores them."""

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.open = asyncio.Event()
        self.open.set()
        self.asking: Counter[str] = Counter()
        self.most = 0
        self.written: list[str] = []
        self.loaded: dict[str, Any] = {}
        self.fails: dict[str, Exception] = {}
        self.tries: Counter[str] = Counter()

    def of(self, _kind: str, _namespace: str) -> Any:
        return self

    async def merge_patch(self, key: Key, patch: dict[str, Any], subresource: str) -> bool:
        assert subresource == "status"
        assert patch["metadata"] == {"resourceVersion": "1"}
        self.asking[key.name] += 1
        self.most = max(self.most, self.asking.total())
        self.tries[key.name] += 1
        try:
            await self.open.wait()
            if key.name in self.fails:
                raise self.fails[key.name]
        finally:
            self.asking[key.name] -= 1
        self.written.append(key.name)
        self.loaded[key.name] = patch["status"].get("loaded")
        return True


class Recorder:
    def __init__(self) -> None:
        self.events: list[str] = []

    def record(self, _namespace: str, event: Any) -> None:
        self.events.append(event.name)


class Case:
    """A status writer, its clock, and models to write of."""

    def __init__(self) -> None:
        self.now = 100.0
        self.enqueued: list[Key] = []
        self.state = ClusterState(self.enqueued.append)
        self.server = Server(self.state)
        self.recorder = Recorder()
        self.writes: list[tuple[str, str]] = []
        self.statuses = StatusWriter(
            self.state,
            cast("Any", self.server.of),
            Limiter(),
            cast("Any", self.recorder),
            lambda kind, verb: self.writes.append((kind, verb)),
            clock=lambda: self.now,
        )

    def has(self, *names: str, host: Key = HOST) -> None:
        for name in names:
            self.state.update_model(None, make.model_object(name, host=host.name))

    def update(self, name: str, priority: Priority = FINAL, loaded: str = "1/1", host: Key = HOST) -> SetStatus:
        before = self.state.models[host][name].status if name in self.state.models[host] else TrainedModelStatus()
        after = TrainedModelStatus(loaded=loaded)
        return SetStatus("TrainedModel", name, f"uid-{name}", before, after, priority)

    def set(
        self, *updates: SetStatus, host: Key = HOST, events: tuple[Event, ...] = (), final_only: bool = False
    ) -> None:
        self.statuses.set(host, updates, events, final_only=final_only)

    async def after(self, seconds: float) -> None:
        """Let time go by, and what is due be written."""
        self.now += seconds
        self.statuses._changed.set()
        await settled()


async def settled() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


@asynccontextmanager
async def writing(case: Case) -> AsyncIterator[None]:
    task = asyncio.create_task(case.statuses.run())
    await settled()
    yield
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def case() -> Case:
    return Case()


async def test_status_writer_writes_the_newest_of_an_object(case: Case) -> None:
    case.has("a")
    case.set(case.update("a", PROGRESS, "0/1"))
    case.set(case.update("a", FINAL, "1/1"))
    async with writing(case):
        await eventually(lambda: case.server.written)
    assert case.server.written == ["a"]
    assert case.server.loaded == {"a": "1/1"}
    assert case.writes == [("TrainedModel", "status")]


async def test_status_writer_drops_what_the_newest_plan_does_not_want(case: Case) -> None:
    case.has("a", "b")
    case.set(case.update("a"), case.update("b"))
    case.set(case.update("b"))
    async with writing(case):
        await eventually(lambda: not case.statuses.busy)
    assert case.server.written == ["b"]


async def test_status_writer_writes_by_priority(case: Case) -> None:
    case.has("a", "b", "c")
    case.set(case.update("c", PROGRESS), case.update("b", FINAL))
    case.set(case.update("c", PROGRESS), case.update("b", FINAL), case.update("a", FINAL))
    async with writing(case):
        await eventually(lambda: len(case.server.written) == 3)
    assert case.server.written == ["b", "a", "c"]


async def test_status_writer_serves_hosts_in_turn(case: Case) -> None:
    many = [f"m-{number}" for number in range(300)]
    case.has(*many)
    case.has("other", host=OTHER)
    case.set(*(case.update(name) for name in many))
    case.server.open.clear()
    async with writing(case):
        case.set(case.update("other", host=OTHER), host=OTHER)
        await settled()
        case.server.open.set()
        await eventually(lambda: len(case.server.written) == 301)
    assert case.server.most == MAX_IN_FLIGHT
    assert case.server.written.index("other") <= MAX_IN_FLIGHT + 1, "it is next but one when a permit is free"


async def test_status_writer_keeps_the_round_of_a_host_that_is_planned_again(case: Case) -> None:
    many = [f"m-{number}" for number in range(100)]
    case.has(*many)
    case.has("other", host=OTHER)
    case.set(*(case.update(name) for name in many))
    case.set(case.update("other", host=OTHER), host=OTHER)
    for _ in range(50):
        case.set(case.update("other", host=OTHER), host=OTHER)
    assert len(case.statuses._ready) == 101, "nothing is queued twice"
    async with writing(case):
        await eventually(lambda: len(case.server.written) == 101)
    assert case.server.written.index("other") <= MAX_IN_FLIGHT


async def test_status_writer_writes_one_status_of_an_object_at_a_time(case: Case) -> None:
    case.has("a")
    case.server.open.clear()
    async with writing(case):
        case.set(case.update("a", loaded="0/1"))
        await eventually(lambda: case.server.asking["a"])
        case.set(case.update("a", loaded="1/1"))
        await settled()
        assert case.server.asking["a"] == 1
        case.server.open.set()
        await eventually(lambda: len(case.server.written) == 2)
    assert case.server.loaded == {"a": "1/1"}


async def test_status_writer_waits_with_the_first_progress_of_a_new_model(case: Case) -> None:
    case.has("a", "b")
    async with writing(case):
        case.set(case.update("a", TRANSIENT, "0/1"), case.update("b"))
        await eventually(lambda: case.server.written == ["b"])
        await case.after(PROGRESS_GRACE - 0.1)
        case.set(case.update("a", TRANSIENT, "0/2"))
        await settled()
        assert case.server.written == ["b"]
        await case.after(0.1)
        await eventually(lambda: case.server.written == ["b", "a"])
    assert case.server.loaded["a"] == "0/2"


async def test_status_writer_writes_a_model_once_that_is_ready_within_its_grace(case: Case) -> None:
    case.has("a")
    async with writing(case):
        case.set(case.update("a", TRANSIENT, "0/1"))
        await case.after(PROGRESS_GRACE / 2)
        case.set(case.update("a", FINAL, "1/1"))
        await eventually(lambda: case.server.written == ["a"])
        case.set()
        await case.after(PROGRESS_GRACE)
    assert case.server.written == ["a"]


async def test_status_writer_waits_with_progress_of_changed_models_only_in_a_burst(case: Case) -> None:
    many = [f"m-{number}" for number in range(MAX_IN_FLIGHT + 1)]
    case.has("a", *many)
    async with writing(case):
        case.set(case.update("a", CHANGED, "0/1"))
        await eventually(lambda: case.server.written == ["a"])
        case.set(*(case.update(name, CHANGED, "0/1") for name in many))
        await settled()
        assert case.server.written == ["a"]
        await case.after(PROGRESS_GRACE)
        await eventually(lambda: len(case.server.written) == 1 + len(many))


async def test_status_writer_keeps_progress_as_it_was_while_models_json_waits(case: Case) -> None:
    case.has("a", "b", "c", "d")
    case.set(case.update("a", PROGRESS, "0/1"), case.update("d", FINAL))
    case.set(
        case.update("a", PROGRESS, "0/2"),
        case.update("b", PROGRESS, "0/2"),
        case.update("c", FINAL),
        case.update("d", PROGRESS, "0/2"),
        final_only=True,
    )
    async with writing(case):
        await eventually(lambda: not case.statuses.busy)
    assert case.server.loaded == {"c": "1/1", "a": "0/1"}


async def test_status_writer_sends_no_event_of_progress_that_waits_for_models_json(case: Case) -> None:
    case.has("a", "b", "c")
    case.set(case.update("a", PROGRESS, "0/1"))
    scaled = tuple(Event("TrainedModel", name, f"uid-{name}", "Normal", "ScaledUp", "1 to 2 copies") for name in "abc")
    case.set(case.update("a", PROGRESS, "0/2"), case.update("b", PROGRESS, "0/2"), events=scaled, final_only=True)
    assert case.recorder.events == ["c"], "an object without an update has no status to wait for"
    async with writing(case):
        await eventually(lambda: not case.statuses.busy)
    assert case.recorder.events == ["c"]


async def test_status_writer_writes_one_at_a_time_while_users_are_active(case: Case) -> None:
    many = [f"m-{number}" for number in range(100)]
    case.has(*many)
    case.server.open.clear()
    case.state.last_model_change = case.now
    async with writing(case):
        case.set(*(case.update(name) for name in many))
        await eventually(lambda: case.server.asking.total() == 1)
        await settled()
        assert case.server.most == 1
        await case.after(USERS_IDLE)
        await eventually(lambda: case.server.asking.total() == MAX_IN_FLIGHT)
        case.server.open.set()
        await eventually(lambda: len(case.server.written) == 100)


async def test_status_writer_leaves_an_object_that_is_gone_another_one_or_as_wanted(case: Case) -> None:
    case.has("a", "b")
    another = make.model_object("b")
    another["metadata"]["uid"] = "another"
    gone, replaced = case.update("gone"), case.update("b")
    same = SetStatus("TrainedModel", "a", "uid-a", TrainedModelStatus(loaded="0/1"), TrainedModelStatus())
    case.state.update_model(make.model_object("b"), another)
    case.set(gone, replaced, same)
    async with writing(case):
        await eventually(lambda: not case.statuses.busy)
    assert case.server.tries.total() == 0


async def test_status_writer_does_not_repeat_what_was_written_while_the_plan_was_made(case: Case) -> None:
    """The plan says the same as the status in flight, a second later: only the time of the transition differs."""
    case.has("a")
    ready = Condition(type=READY, status="True", last_transition_time="2026-01-01T00:00:00Z")
    model = make.model_object("a")
    case.state.update_model(model, model | {"status": {"conditions": [ready.to_wire()]}})
    later = ready.model_copy(update={"last_transition_time": "2026-01-01T00:00:01Z"})
    after = TrainedModelStatus(conditions=(later,))
    case.set(SetStatus("TrainedModel", "a", "uid-a", TrainedModelStatus(), after))
    async with writing(case):
        await eventually(lambda: not case.statuses.busy)
    assert case.server.tries.total() == 0
    assert find(case.state.models[HOST]["a"].status.conditions, READY) == ready


def event(name: str) -> Event:
    return Event("TrainedModel", name, f"uid-{name}", "Normal", "Ready", "it answers")


async def test_status_writer_sends_an_event_with_its_status_and_once(case: Case) -> None:
    case.has("a")
    case.server.open.clear()
    async with writing(case):
        for _ in range(3):
            case.set(case.update("a"), events=(event("a"), event("b")))
            await settled()
        assert case.recorder.events == ["b"] * 3, "no status of it is written"
        case.server.open.set()
        case.has("a")
        await eventually(lambda: "a" in case.recorder.events)


async def test_status_writer_sends_all_events_of_a_status(case: Case) -> None:
    case.has("a")
    scaled = Event("TrainedModel", "a", "uid-a", "Normal", "ScaledUp", "1 to 2 copies")
    async with writing(case):
        case.set(case.update("a"), events=(event("a"), event("b"), scaled))
        await eventually(lambda: sorted(case.recorder.events) == ["a", "a", "b"])


async def test_status_writer_sends_the_event_of_a_status_that_was_stored_though_its_answer_was_lost(case: Case) -> None:
    case.has("a")
    case.server.fails["a"] = Unavailable("no answer")
    async with writing(case):
        case.set(case.update("a"), events=(event("a"),))
        await eventually(lambda: case.server.tries["a"] == 1)
        model = make.model_object("a")
        case.state.update_model(model, model | {"status": {"loaded": "1/1"}})
        await case.after(BACKOFF.base)
        await eventually(lambda: case.recorder.events == ["a"])
    assert case.server.tries["a"] == 1


async def test_status_writer_tries_a_failing_status_again_with_backoff_and_writes_the_others(case: Case) -> None:
    case.has("a", "b", "c")
    case.server.fails["a"] = Invalid("no")
    async with writing(case):
        case.set(case.update("a"), case.update("b"))
        await eventually(lambda: case.server.written == ["b"] and case.server.tries["a"] == 1)
        case.set(case.update("a"), case.update("c"))
        await eventually(lambda: case.server.written == ["b", "c"])
        assert case.server.tries["a"] == 1, "a new plan does not bring it forward"
        for tries in range(2, 5):
            await case.after(BACKOFF.delay(tries - 1, 0.0) - 0.01)
            assert case.server.tries["a"] == tries - 1
            await case.after(BACKOFF.delay(tries - 1, 1.0) - BACKOFF.delay(tries - 1, 0.0) + 0.02)
            assert case.server.tries["a"] == tries
        case.server.fails.clear()
        await case.after(BACKOFF.cap)
        await eventually(lambda: "a" in case.server.written)


async def test_status_writer_enqueues_the_host_of_a_conflict(case: Case) -> None:
    case.has("a")
    case.server.fails["a"] = Conflict("it has been modified")
    async with writing(case):
        case.set(case.update("a"))
        await eventually(lambda: case.enqueued == [HOST])


@pytest.mark.parametrize("error", [Unavailable("no answer"), Throttled("slow down", retry_after=5), OutOfScope("left")])
async def test_status_writer_leaves_the_rest_of_a_host_when_all_would_fail(case: Case, error: Exception) -> None:
    many = [f"m-{number}" for number in range(100)]
    case.has(*many)
    case.has("other", host=OTHER)
    case.server.fails = dict.fromkeys(many, error)
    async with writing(case):
        case.set(*(case.update(name) for name in many))
        await eventually(case.server.tries.total)
        await settled()
        assert case.server.tries.total() <= MAX_IN_FLIGHT
        case.set(case.update("other", host=OTHER), host=OTHER)
        await eventually(lambda: case.server.written == ["other"])
        await case.after(4.9 if isinstance(error, Throttled) else BACKOFF.delay(1, 0.0) - 0.01)
        assert case.server.tries.total() <= MAX_IN_FLIGHT + 1
        case.server.fails.clear()
        await case.after(5.0)
        await eventually(lambda: len(case.server.written) == 101)


async def test_status_writer_forgets_everything_when_it_ends(case: Case) -> None:
    case.has("a", "b")
    case.server.open.clear()
    async with writing(case):
        case.set(case.update("a"), case.update("b", TRANSIENT))
        await eventually(lambda: case.server.asking["a"])
    case.server.open.set()
    async with writing(case):
        await case.after(PROGRESS_GRACE)
    assert case.server.written == []
    assert not case.statuses.busy


async def test_status_writer_goes_on_after_a_defect(case: Case) -> None:
    case.has("a", "b")
    case.server.fails["a"] = RuntimeError("a defect")
    async with writing(case):
        case.set(case.update("a"), case.update("b"))
        await eventually(lambda: case.server.written == ["b"])


async def test_status_writer_drops_statuses_of_a_namespace_that_left_the_scope() -> None:
    case = Case()
    case.has("m")
    calls: list[float] = []

    def informer_of(_kind: str, _namespace: str) -> Any:
        calls.append(case.now)
        raise OutOfScope("namespace default is out of scope")

    case.statuses._informer_of = informer_of
    async with writing(case):
        case.set(case.update("m"))
        case.state.models.clear()
        for _ in range(10):
            await case.after(60)
    assert calls == []


async def test_status_writer_keeps_no_host_behind_for_statuses_that_were_dropped() -> None:
    case = Case()
    many, others = [f"a{number:03}" for number in range(300)], [f"b{number:03}" for number in range(100)]
    case.has(*many)
    case.has(*others, host=OTHER)
    case.set(*map(case.update, many))
    case.set(*(case.update(name, host=OTHER) for name in others), host=OTHER)
    case.set()
    case.set(case.update("a000"))
    async with writing(case):
        while len(case.server.written) <= len(others):
            await settled()
    assert case.server.written.index("a000") < 20
