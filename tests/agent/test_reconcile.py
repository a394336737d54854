"""Pure reconciliation."""

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


def observed(desired=A, disk=None, server=ABSENT, retry=None) -> Observed:  # type: ignore[no-untyped-def]
    return Observed(
        desired={"a": desired} if desired else {},
        disk={"a": disk} if disk else {},
        index=None if server is None else {"a": server},
        retries={"a": retry} if retry else {},
    )


def test_plan_fetches_and_loads_new_model() -> None:
    assert plan(observed(), 0) == {"a": (Step.FETCH, Step.LOAD)}


def test_plan_is_empty_for_loaded_model() -> None:
    assert plan(observed(disk=LOADED, server=READY), 0) == {}


def test_plan_loads_lost_model_without_download() -> None:
    assert plan(observed(disk=LOADED, server=ABSENT), 0) == {"a": (Step.LOAD,)}


def test_plan_loads_ready_model_without_loaded_marker() -> None:
    assert plan(observed(disk=OnDisk(A.digest), server=READY), 0) == {"a": (Step.LOAD,)}


def test_plan_fetches_model_without_marker() -> None:
    assert plan(observed(disk=OnDisk(), server=READY), 0) == {"a": (Step.FETCH, Step.LOAD)}


def test_plan_fetches_changed_model_while_previous_one_serves() -> None:
    assert plan(observed(desired=B, disk=LOADED, server=READY), 0) == {"a": (Step.FETCH, Step.LOAD)}


def test_plan_retries_failed_load_from_source() -> None:
    retry = RetryState(A.digest, Stage.LOAD, 1, not_before=5)
    assert plan(observed(disk=OnDisk(A.digest), retry=retry), 4) == {}
    assert plan(observed(disk=OnDisk(A.digest), retry=retry), 5) == {"a": (Step.FETCH, Step.LOAD)}


def test_plan_retries_ensemble_at_once_when_its_step_is_loaded() -> None:
    retry, step = RetryState(A.digest, Stage.LOAD, 1, missing_step="s", not_before=5), entry("s")
    ensemble = observed(disk=OnDisk(A.digest), retry=retry)
    desired, disk = {**ensemble.desired, "s": step}, {**ensemble.disk, "s": OnDisk(step.digest, loaded=True)}
    loaded = replace(ensemble, desired=desired, disk=disk, index={"a": ABSENT, "s": READY})
    assert plan(loaded, 0) == {"a": (Step.FETCH, Step.LOAD)}
    assert plan(replace(loaded, index={"a": ABSENT, "s": GONE}), 0) == {"s": (Step.LOAD,)}
    leaving = replace(loaded, desired=ensemble.desired)
    assert plan(leaving, 0) == {"s": (Step.UNLOAD, Step.DELETE)}, "a step that is being removed does not count"


def test_plan_ignores_failure_of_another_digest() -> None:
    retry = RetryState(B.digest, Stage.DOWNLOAD, 9, not_before=100)
    assert plan(observed(retry=retry), 0) == {"a": (Step.FETCH, Step.LOAD)}


def test_plan_unloads_before_delete() -> None:
    assert plan(observed(desired=None, disk=LOADED, server=READY), 0) == {"a": (Step.UNLOAD, Step.DELETE)}
    assert plan(observed(desired=None, disk=LOADED, server=GONE), 0) == {"a": (Step.DELETE,)}
    assert plan(observed(desired=None, server=READY), 0) == {"a": (Step.UNLOAD,)}
    assert plan(observed(desired=None, server=GONE), 0) == {}


def test_plan_deletes_nothing_while_server_does_not_answer() -> None:
    assert plan(observed(desired=None, disk=LOADED, server=None), 0) == {}


def test_plan_fetches_while_server_does_not_answer() -> None:
    assert plan(observed(server=None), 0)["a"][0] is Step.FETCH
    assert plan(observed(disk=LOADED, server=None), 0) == {}


def test_next_check_is_the_first_retry() -> None:
    assert next_check(observed(retry=RetryState(A.digest, Stage.LOAD, 1, not_before=7)), 5) == 2
    assert next_check(observed(retry=RetryState(A.digest, Stage.LOAD, 1, not_before=7)), 8) == float("inf")


REFUSED = RetryState(B.digest, Stage.LOAD, 1, permanent=True, refused=True, previous_still_loaded=True, not_before=100)
KEPT = OnDisk(B.digest, kept=A.digest)


def test_plan_rolls_back_rejected_version_at_once() -> None:
    assert plan(observed(desired=B, disk=KEPT, server=READY, retry=REFUSED), 0) == {"a": (Step.ROLLBACK,)}
    assert plan(observed(desired=B, disk=LOADED, server=READY, retry=REFUSED), 0) == {}, "it waits for the next try"
    assert plan(observed(desired=B, disk=LOADED, server=READY, retry=REFUSED), 100) == {"a": (Step.FETCH, Step.LOAD)}


def test_plan_keeps_version_after_load_timeout_while_server_is_ready() -> None:
    slow = RetryState(B.digest, Stage.LOAD, 1, not_before=100)
    assert plan(observed(desired=B, disk=KEPT, server=READY, retry=slow), 0) == {}
    assert plan(observed(desired=B, disk=KEPT, server=GONE, retry=slow), 0) == {"a": (Step.ROLLBACK,)}


def test_plan_rolls_back_version_neither_desired_nor_loaded() -> None:
    assert plan(observed(desired=A, disk=KEPT, server=READY), 0) == {"a": (Step.ROLLBACK,)}
    assert plan(observed(desired=B, disk=OnDisk(kept=A.digest), server=READY), 0) == {"a": (Step.ROLLBACK,)}


def test_plan_reloads_previous_version_while_new_one_fails() -> None:
    absent = RetryState(B.digest, Stage.DOWNLOAD, 1, not_before=100)
    assert plan(observed(desired=B, disk=LOADED, retry=absent), 0) == {"a": (Step.RELOAD_PREVIOUS,)}
    assert plan(observed(desired=B, disk=LOADED, retry=REFUSED), 0) == {"a": (Step.RELOAD_PREVIOUS,)}
    later = replace(absent, rollback_not_before=50.0)
    assert plan(observed(desired=B, disk=LOADED, retry=later), 0) == {}, "a failed reload has its own next try"
    assert next_check(observed(desired=B, disk=LOADED, retry=later), 0) == 50


def test_plan_delays_retry_of_failed_load() -> None:
    assert plan(observed(disk=LOADED, retry=RetryState(A.digest, Stage.LOAD, 1, not_before=100)), 0) == {}


def test_plan_reloads_lost_model_after_failed_refresh() -> None:
    failed = RetryState(A.digest, Stage.DOWNLOAD, 5, not_before=100)
    assert plan(observed(disk=LOADED, retry=failed), 0) == {"a": (Step.RELOAD_PREVIOUS,)}


def test_plan_cleans_up_after_new_version_is_loaded() -> None:
    done = OnDisk(B.digest, loaded=True, kept=A.digest)
    assert plan(observed(desired=B, disk=done, server=READY), 0) == {"a": (Step.CLEANUP,)}


def test_plan_cleans_up_abandoned_staging() -> None:
    given_up = replace(REFUSED, staged="v2")
    assert plan(observed(desired=A, disk=LOADED, server=READY, retry=given_up), 0) == {"a": (Step.CLEANUP,)}


def test_plan_repairs_nothing_while_server_is_down_or_reads() -> None:
    for server in (None, ServerModel(ServerState.LOADING), ServerModel(ServerState.UNLOADING)):
        assert plan(observed(desired=B, disk=KEPT, server=server, retry=REFUSED), 0) == {}


disks = st.none() | st.builds(
    OnDisk,
    st.sampled_from(["", A.digest, B.digest]),
    loaded=st.booleans(),
    kept=st.sampled_from(["", A.digest, B.digest]),
)
servers = st.none() | st.builds(ServerModel, st.sampled_from(ServerState), st.sampled_from(["", "unloaded", "bad"]))
retries = st.none() | st.builds(
    RetryState,
    st.sampled_from(["", A.digest, B.digest]),
    st.sampled_from(Stage),
    st.integers(1, 5),
    not_before=st.floats(0, 10),
)
snapshots = st.builds(observed, st.sampled_from([None, A, B]), disks, servers, retries)


@given(snapshots, st.floats(0, 10))
def test_plan_never_touches_files_while_server_reads_them(snapshot: Observed, now: float) -> None:
    state = (snapshot.index or {}).get("a", ABSENT).state
    if state in {ServerState.LOADING, ServerState.UNLOADING}:
        assert steps_for("a", snapshot, now) == ()


@given(snapshots, st.floats(0, 10))
def test_plan_never_deletes_loaded_model_without_unload(snapshot: Observed, now: float) -> None:
    steps = steps_for("a", snapshot, now)
    if Step.DELETE in steps and (snapshot.index or {})["a"].state is ServerState.READY:
        assert steps.index(Step.UNLOAD) < steps.index(Step.DELETE)


@dataclass
class FakeState:
    """Fake agent state in which every step succeeds."""

    desired: Mapping[str, Entry]
    disk: dict[str, OnDisk]
    index: dict[str, ServerModel]
    retries: dict[str, RetryState]

    @property
    def observed(self) -> Observed:
        return Observed(self.desired, self.disk, self.index, self.retries)

    def fetch(self) -> None:
        digest, before = self.desired["a"].digest, self.disk.get("a", OnDisk())
        kept = before.digest if before.loaded else before.kept
        self.disk["a"] = before if before.digest == digest else OnDisk(digest, kept=kept)

    def load(self) -> None:
        self.disk["a"], self.index["a"] = replace(self.disk["a"], loaded=True), READY
        self.retries.clear()

    def unload(self) -> None:
        self.index["a"] = GONE

    def delete(self) -> None:
        del self.disk["a"]

    def rollback(self) -> None:
        self.disk["a"] = OnDisk(self.disk["a"].kept, loaded=True)

    def reload_previous(self) -> None:
        self.index["a"] = READY

    def cleanup(self) -> None:
        self.disk["a"] = replace(self.disk["a"], kept="")
        self.retries.clear()


@given(snapshots)
def test_plan_converges_to_desired_state(snapshot: Observed) -> None:
    """Run the planned steps, all of which succeed, until the plan is empty."""
    end = FakeState(snapshot.desired, dict(snapshot.disk), dict(snapshot.index or {}), dict(snapshot.retries))
    if end.index.get("a", ABSENT).state in {ServerState.LOADING, ServerState.UNLOADING}:
        end.index["a"] = GONE
    for _ in range(5):
        for step in steps_for("a", end.observed, 100):
            getattr(end, step.name.lower())()
    assert plan(end.observed, 100) == {}
    if snapshot.desired:
        assert is_loaded("a", snapshot.desired["a"].digest, end.observed)
    else:
        assert not end.disk
        assert end.index.get("a", ABSENT).state is not ServerState.READY
