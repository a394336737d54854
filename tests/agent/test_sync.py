"""The decision, without a clock, a disk or a server."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from manyserve.agent.reconcile import (
    ABSENT,
    GONE,
    Observed,
    OnDisk,
    ServerModel,
    ServerState,
    Step,
    is_loaded,
    next_check,
    plan,
    steps_for,
)
from manyserve.agent.retry import RetryState, Stage
from manyserve.api.modelconfig import Entry
from tests.agent.support import entry

A = entry("a")
B = entry("a", "gs://bucket/models/b")
READY = ServerModel(ServerState.READY)
LOADED = OnDisk(A.digest, loaded=True)


def seen(wanted=A, disk=None, server=ABSENT, memory=None) -> Observed:  # type: ignore[no-untyped-def]
    return Observed(
        desired={"a": wanted} if wanted else {},
        disk={"a": disk} if disk else {},
        index=None if server is None else {"a": server},
        retries={"a": memory} if memory else {},
    )


def test_a_new_model_is_fetched_and_loaded() -> None:
    assert plan(seen(), 0) == {"a": (Step.FETCH, Step.LOAD)}


def test_a_settled_model_needs_nothing() -> None:
    assert plan(seen(disk=LOADED, server=READY), 0) == {}


def test_a_model_on_disk_that_the_server_forgot_is_loaded_without_a_download() -> None:
    assert plan(seen(disk=LOADED, server=ABSENT), 0) == {"a": (Step.LOAD,)}


def test_a_ready_model_of_whose_load_the_disk_knows_nothing_is_loaded_again() -> None:
    assert plan(seen(disk=OnDisk(A.digest), server=READY), 0) == {"a": (Step.LOAD,)}


def test_a_folder_without_a_marker_is_as_good_as_none() -> None:
    assert plan(seen(disk=OnDisk(), server=READY), 0) == {"a": (Step.FETCH, Step.LOAD)}


def test_a_changed_model_is_fetched_while_the_old_one_serves() -> None:
    assert plan(seen(wanted=B, disk=LOADED, server=READY), 0) == {"a": (Step.FETCH, Step.LOAD)}


def test_a_failed_load_is_tried_again_from_the_source() -> None:
    memory = RetryState(A.digest, Stage.LOAD, 1, not_before=5)
    assert plan(seen(disk=OnDisk(A.digest), memory=memory), 4) == {}
    assert plan(seen(disk=OnDisk(A.digest), memory=memory), 5) == {"a": (Step.FETCH, Step.LOAD)}


def test_a_failure_of_another_spec_holds_nothing_back() -> None:
    memory = RetryState(B.digest, Stage.DOWNLOAD, 9, not_before=100)
    assert plan(seen(memory=memory), 0) == {"a": (Step.FETCH, Step.LOAD)}


def test_a_model_not_wanted_is_unloaded_before_it_is_deleted() -> None:
    assert plan(seen(wanted=None, disk=LOADED, server=READY), 0) == {"a": (Step.UNLOAD, Step.DELETE)}
    assert plan(seen(wanted=None, disk=LOADED, server=GONE), 0) == {"a": (Step.DELETE,)}
    assert plan(seen(wanted=None, server=READY), 0) == {"a": (Step.UNLOAD,)}
    assert plan(seen(wanted=None, server=GONE), 0) == {}


def test_nothing_is_deleted_while_the_server_does_not_answer() -> None:
    assert plan(seen(wanted=None, disk=LOADED, server=None), 0) == {}


def test_downloads_do_not_wait_for_the_server() -> None:
    assert plan(seen(server=None), 0)["a"][0] is Step.FETCH
    assert plan(seen(disk=LOADED, server=None), 0) == {}


def test_the_next_look_is_when_the_first_retry_is_due() -> None:
    assert next_check(seen(memory=RetryState(A.digest, Stage.LOAD, 1, not_before=7)), 5) == 2
    assert next_check(seen(memory=RetryState(A.digest, Stage.LOAD, 1, not_before=7)), 8) == float("inf")


REFUSED = RetryState(B.digest, Stage.LOAD, 1, permanent=True, refused=True, previous_still_loaded=True, not_before=100)
KEPT = OnDisk(B.digest, kept=A.digest)


def test_a_refused_version_gives_way_to_the_one_before_at_once() -> None:
    assert plan(seen(wanted=B, disk=KEPT, server=READY, memory=REFUSED), 0) == {"a": (Step.ROLLBACK,)}
    assert plan(seen(wanted=B, disk=LOADED, server=READY, memory=REFUSED), 0) == {}, "then it waits for the next try"
    assert plan(seen(wanted=B, disk=LOADED, server=READY, memory=REFUSED), 100) == {"a": (Step.FETCH, Step.LOAD)}


def test_a_version_whose_load_timed_out_stays_while_the_server_answers_since_it_may_answer_with_it() -> None:
    slow = RetryState(B.digest, Stage.LOAD, 1, not_before=100)
    assert plan(seen(wanted=B, disk=KEPT, server=READY, memory=slow), 0) == {}
    assert plan(seen(wanted=B, disk=KEPT, server=GONE, memory=slow), 0) == {"a": (Step.ROLLBACK,)}


def test_a_version_that_is_neither_wanted_nor_proven_gives_way() -> None:
    assert plan(seen(wanted=A, disk=KEPT, server=READY), 0) == {"a": (Step.ROLLBACK,)}
    assert plan(seen(wanted=B, disk=OnDisk(kept=A.digest), server=READY), 0) == {"a": (Step.ROLLBACK,)}


def test_the_version_before_is_loaded_again_while_the_new_one_fails() -> None:
    absent = RetryState(B.digest, Stage.DOWNLOAD, 1, not_before=100)
    assert plan(seen(wanted=B, disk=LOADED, memory=absent), 0) == {"a": (Step.RELOAD_PREVIOUS,)}
    assert plan(seen(wanted=B, disk=LOADED, memory=REFUSED), 0) == {"a": (Step.RELOAD_PREVIOUS,)}
    later = replace(absent, rollback_not_before=50.0)
    assert plan(seen(wanted=B, disk=LOADED, memory=later), 0) == {}, "when that fails too, it has its own next try"
    assert next_check(seen(wanted=B, disk=LOADED, memory=later), 0) == 50


def test_a_failed_load_of_what_lies_there_is_no_reason_to_load_it_at_once() -> None:
    assert plan(seen(disk=LOADED, memory=RetryState(A.digest, Stage.LOAD, 1, not_before=100)), 0) == {}


def test_a_failed_look_for_newer_files_holds_no_load_back() -> None:
    failed = RetryState(A.digest, Stage.DOWNLOAD, 5, not_before=100)
    assert plan(seen(disk=LOADED, memory=failed), 0) == {"a": (Step.RELOAD_PREVIOUS,)}


def test_the_version_before_goes_once_the_server_took_the_new_one() -> None:
    done = OnDisk(B.digest, loaded=True, kept=A.digest)
    assert plan(seen(wanted=B, disk=done, server=READY), 0) == {"a": (Step.CLEANUP,)}


def test_what_waits_in_staging_goes_when_nobody_tries_it_again() -> None:
    given_up = replace(REFUSED, staged="v2")
    assert plan(seen(wanted=A, disk=LOADED, server=READY, memory=given_up), 0) == {"a": (Step.CLEANUP,)}


def test_nothing_is_put_back_or_tidied_while_the_server_does_not_answer_or_reads() -> None:
    for server in (None, ServerModel(ServerState.LOADING), ServerModel(ServerState.UNLOADING)):
        assert plan(seen(wanted=B, disk=KEPT, server=server, memory=REFUSED), 0) == {}


disks = st.none() | st.builds(
    OnDisk,
    st.sampled_from(["", A.digest, B.digest]),
    loaded=st.booleans(),
    kept=st.sampled_from(["", A.digest, B.digest]),
)
servers = st.none() | st.builds(ServerModel, st.sampled_from(ServerState), st.sampled_from(["", "unloaded", "bad"]))
memories = st.none() | st.builds(
    RetryState,
    st.sampled_from(["", A.digest, B.digest]),
    st.sampled_from(Stage),
    st.integers(1, 5),
    not_before=st.floats(0, 10),
)
worlds = st.builds(seen, st.sampled_from([None, A, B]), disks, servers, memories)


@given(worlds, st.floats(0, 10))
def test_files_are_never_touched_while_the_server_reads_them(world: Observed, now: float) -> None:
    state = (world.index or {}).get("a", ABSENT).state
    if state in {ServerState.LOADING, ServerState.UNLOADING}:
        assert steps_for("a", world, now) == ()


@given(worlds, st.floats(0, 10))
def test_what_the_server_holds_is_never_deleted_without_an_unload_first(world: Observed, now: float) -> None:
    steps = steps_for("a", world, now)
    if Step.DELETE in steps and (world.index or {})["a"].state is ServerState.READY:
        assert steps.index(Step.UNLOAD) < steps.index(Step.DELETE)


@dataclass
class Pretended:
    """A world in which every step succeeds."""

    wanted: Mapping[str, Entry]
    disk: dict[str, OnDisk]
    index: dict[str, ServerModel]
    memory: dict[str, RetryState]

    @property
    def seen(self) -> Observed:
        return Observed(self.wanted, self.disk, self.index, self.memory)

    def fetch(self) -> None:
        digest, before = self.wanted["a"].digest, self.disk.get("a", OnDisk())
        kept = before.digest if before.loaded else before.kept
        self.disk["a"] = before if before.digest == digest else OnDisk(digest, kept=kept)

    def load(self) -> None:
        self.disk["a"], self.index["a"] = replace(self.disk["a"], loaded=True), READY
        self.memory.clear()

    def unload(self) -> None:
        self.index["a"] = GONE

    def delete(self) -> None:
        del self.disk["a"]

    def put_back(self) -> None:
        self.disk["a"] = OnDisk(self.disk["a"].kept, loaded=True)

    def revive(self) -> None:
        self.index["a"] = READY

    def tidy(self) -> None:
        self.disk["a"] = replace(self.disk["a"], kept="")
        self.memory.clear()


@given(worlds)
def test_every_world_comes_to_rest_and_then_it_is_as_wanted(world: Observed) -> None:
    """Carry out what is planned, with everything succeeding: soon nothing is left to do."""
    end = Pretended(world.desired, dict(world.disk), dict(world.index or {}), dict(world.retries))
    if end.index.get("a", ABSENT).state in {ServerState.LOADING, ServerState.UNLOADING}:
        end.index["a"] = GONE
    for _ in range(5):
        for step in steps_for("a", end.seen, 100):
            getattr(end, step.name.lower())()
    assert plan(end.seen, 100) == {}
    if world.desired:
        assert is_loaded("a", world.desired["a"].digest, end.seen)
    else:
        assert not end.disk
        assert end.index.get("a", ABSENT).state is not ServerState.READY
