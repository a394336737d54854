"""The decision, without a clock, a disk or a server."""

from hypothesis import given
from hypothesis import strategies as st

from manyserve.agent.retry import Memory, Stage
from manyserve.agent.sync import (
    ABSENT,
    GONE,
    OnDisk,
    Seen,
    ServerModel,
    ServerState,
    Step,
    is_loaded,
    next_look,
    plan,
    steps_for,
)
from tests.agent.support import entry

A = entry("a")
B = entry("a", "gs://bucket/models/b")
READY = ServerModel(ServerState.READY)
LOADED = OnDisk(A.digest, loaded=True)


def seen(wanted=A, disk=None, server=ABSENT, memory=None) -> Seen:  # type: ignore[no-untyped-def]
    return Seen(
        wanted={"a": wanted} if wanted else {},
        disk={"a": disk} if disk else {},
        index=None if server is None else {"a": server},
        memory={"a": memory} if memory else {},
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
    memory = Memory(A.digest, Stage.LOAD, 1, not_before=5)
    assert plan(seen(disk=OnDisk(A.digest), memory=memory), 4) == {}
    assert plan(seen(disk=OnDisk(A.digest), memory=memory), 5) == {"a": (Step.FETCH, Step.LOAD)}


def test_a_failure_of_another_spec_holds_nothing_back() -> None:
    memory = Memory(B.digest, Stage.DOWNLOAD, 9, not_before=100)
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
    assert next_look(seen(memory=Memory(A.digest, Stage.LOAD, 1, not_before=7)), 5) == 2
    assert next_look(seen(memory=Memory(A.digest, Stage.LOAD, 1, not_before=7)), 8) == float("inf")


disks = st.none() | st.builds(OnDisk, st.sampled_from(["", A.digest, B.digest]), loaded=st.booleans())
servers = st.none() | st.builds(ServerModel, st.sampled_from(ServerState), st.sampled_from(["", "unloaded", "bad"]))
memories = st.none() | st.builds(
    Memory,
    st.sampled_from(["", A.digest, B.digest]),
    st.sampled_from(Stage),
    st.integers(1, 5),
    not_before=st.floats(0, 10),
)
worlds = st.builds(seen, st.sampled_from([None, A, B]), disks, servers, memories)


@given(worlds, st.floats(0, 10))
def test_files_are_never_touched_while_the_server_reads_them(world: Seen, now: float) -> None:
    state = (world.index or {}).get("a", ABSENT).state
    if state in {ServerState.LOADING, ServerState.UNLOADING}:
        assert steps_for("a", world, now) == ()


@given(worlds, st.floats(0, 10))
def test_what_the_server_holds_is_never_deleted_without_an_unload_first(world: Seen, now: float) -> None:
    steps = steps_for("a", world, now)
    if Step.DELETE in steps and (world.index or {})["a"].state is ServerState.READY:
        assert steps.index(Step.UNLOAD) < steps.index(Step.DELETE)


@given(worlds)
def test_every_world_comes_to_rest_and_then_it_is_as_wanted(world: Seen) -> None:
    """Carry out what is planned, with everything succeeding: soon nothing is left to do."""
    disk, index = dict(world.disk), dict(world.index or {})
    if index.get("a", ABSENT).state in {ServerState.LOADING, ServerState.UNLOADING}:
        index["a"] = GONE
    for _ in range(3):
        now = Seen(world.wanted, disk, index)
        for step in steps_for("a", now, 100):
            digest = world.wanted["a"].digest if world.wanted else ""
            match step:
                case Step.FETCH:
                    disk["a"] = OnDisk(digest)
                case Step.LOAD:
                    disk["a"], index["a"] = OnDisk(digest, loaded=True), READY
                case Step.UNLOAD:
                    index["a"] = GONE
                case Step.DELETE:
                    del disk["a"]
    end = Seen(world.wanted, disk, index)
    assert plan(end, 100) == {}
    if world.wanted:
        assert is_loaded("a", world.wanted["a"].digest, end)
    else:
        assert not disk
        assert index.get("a", ABSENT).state is not ServerState.READY
