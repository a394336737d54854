"""Status of models with copies of their own: `Ready`, `loaded`, `shards`, and the sentences about copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import conditions
from manyserve.api.agentreport import AgentReport, ModelReport, ModelState
from manyserve.api.trainedmodel import TrainedModelStatus
from manyserve.plan.observed import Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from manyserve.plan.pods import Replica
from manyserve.plan.status.copies import Copies, copies_that_answer
from tests.fuzz.profile import tried
from tests.support import make, sharded, world

MIB = 1024**2
ENTRY = entry_of(make.model("a"))
OTHER = entry_of(make.model("a", uri="gs://models/other"))
FAILS = {"message": "no such file", "attempt": 2, "next_try": "2026-01-01T00:01:00Z"}
ERROR = "fails on s2: no such file (attempt 2, next try at 2026-01-01T00:01:00Z)"


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    with sharded.served():
        yield


def status(observed: Observed, name: str = "a") -> TrainedModelStatus:
    after = world.carry_out(observed, plan(observed, make.NOW))
    return next(each.status for each in after.models if each.metadata.name == name)


def ready(observed: Observed, name: str = "a") -> tuple[str, str | None, str | None]:
    condition = conditions.find(status(observed, name).conditions, conditions.READY)
    assert condition is not None
    return condition.status, condition.reason, condition.message


def counts(of: TrainedModelStatus) -> tuple[str | None, str | None, int | None, int | None]:
    return of.loaded, of.shards, of.replicas, of.loaded_replicas


def test_model_with_all_copies_is_ready_without_a_sentence() -> None:
    observed = sharded.settled(sharded.model(copies=3))
    assert ready(observed) == ("True", None, None)
    assert counts(status(observed)) == ("3/3", "s0,s1,s2", 3, 3)
    assert plan(observed, make.NOW).empty


def test_model_is_rolled_up_over_its_own_shards_only() -> None:
    observed = sharded.settled(sharded.model("a"), sharded.model("b", memory="2Gi", year=2025))
    assert {each.metadata.name: each.status.shards for each in observed.models} == {"a": "s1", "b": "s0"}
    for broken in (
        sharded.with_pod(observed, 0, ready=False),
        sharded.on_shard(observed, 0, "b", ModelState.LOAD_FAILED),
        replace(observed, agents={uid: each for uid, each in observed.agents.items() if uid != "uid-pod-s0"}),
    ):
        assert (ready(broken, "a"), ready(broken, "b")[0]) == (("True", None, None), "False")


@pytest.mark.parametrize("state", [ModelState.LOAD_FAILED, ModelState.DOWNLOAD_FAILED])
def test_copy_that_fails_leaves_its_model_ready_and_is_named(state: ModelState) -> None:
    observed = sharded.on_shard(sharded.settled(sharded.model(copies=3)), 2, "a", state, **FAILS)
    assert ready(observed) == ("True", state, f"loaded on 2 of 3 copies; {ERROR}")
    after = status(observed)
    assert counts(after) == ("2/3", "s0,s1,s2", 3, 2)
    assert after.last_failure is not None
    assert (after.last_failure.pod, after.last_failure.reason) == ("pod-s2", state)


def test_copy_that_loads_leaves_its_model_ready_without_a_reason_and_without_progress() -> None:
    observed = sharded.settled(sharded.model(copies=2))
    some = sharded.on_shard(observed, 1, "a", ModelState.DOWNLOADING, bytes=1 * MIB, bytes_total=4 * MIB)
    assert ready(some) == ("True", None, "loaded on 1 of 2 copies; s1: downloading")
    stored = world.carry_out(some, plan(some, make.NOW))
    more = sharded.on_shard(stored, 1, "a", ModelState.DOWNLOADING, bytes=2 * MIB, bytes_total=4 * MIB)
    assert plan(more, make.NOW).empty, "progress of a further copy is not written"


@pytest.mark.parametrize(
    ("state", "fields", "words"),
    [
        (ModelState.DOWNLOADING, {"bytes": MIB, "bytes_total": 4 * MIB}, "s0: downloading 25 % (1 of 4 MiB)"),
        (ModelState.LOADING, {}, "s0: loading"),
        (ModelState.LOADING, {"serving": True}, "s0: loading; the previous version still answers"),
        (ModelState.LOAD_FAILED, {"message": "no file", "attempt": 3}, "fails on s0: no file (attempt 3)"),
    ],
)
def test_model_without_an_answering_copy_is_not_ready(state: ModelState, fields: dict[str, Any], words: str) -> None:
    observed = sharded.on_shard(sharded.settled(sharded.model()), 0, "a", state, **fields)
    assert ready(observed) == ("False", state, words)
    assert counts(status(observed)) == ("0/1", "s0", 1, 0)


def test_worst_copy_explains_a_model_without_an_answering_one() -> None:
    observed = sharded.settled(sharded.model(copies=3))
    observed = sharded.on_shard(observed, 0, "a", ModelState.LOADING)
    observed = sharded.on_shard(observed, 1, "a", ModelState.DOWNLOADING)
    observed = sharded.on_shard(observed, 2, "a", ModelState.LOAD_FAILED, **FAILS)
    assert ready(observed) == ("False", "LoadFailed", ERROR)


def test_copy_names_the_reason_for_which_its_shard_reports_nothing() -> None:
    observed = sharded.settled(sharded.model())
    silent = replace(observed, agents={})
    unread = replace(observed, agents=dict.fromkeys(observed.agents, make.report()))
    broken = make.report().model_copy(update={"config_error": "models.json: no list"})
    stopped = {uid: each.model_copy(update={"server_ready": False}) for uid, each in observed.agents.items()}
    assert ready(silent) == ("False", "Pending", "s0: the agent does not answer")
    assert ready(unread) == ("False", "Pending", "s0: waits until the pod has read the new models.json")
    assert ready(replace(observed, agents=dict.fromkeys(observed.agents, broken)))[2] == "s0: models.json: no list"
    assert ready(replace(observed, agents=stopped)) == ("False", "Loading", "s0: the model server does not answer")
    assert ready(sharded.with_pod(observed, 0, ready=False)) == ("False", "Pending", "s0: no pod is ready")


def test_copy_without_memory_waits_with_the_figures_of_each_shard() -> None:
    full = sharded.settled(sharded.model("b", 2, "2Gi", year=2025), sharded.model(copies=2), least=3, most=3)
    outcome = ready(full)
    assert outcome[:2] == ("True", None)
    assert (outcome[2] or "").startswith(
        "loaded on 1 of 2 copies; 1 copy not placed: 1Gi does not fit on triton-mms, which has 3 of 3 pods with 2Gi "
        "each; free: 0, 0."
    )
    assert counts(status(full)) == ("1/2", "s1", 2, 1)


def test_model_without_memory_is_not_ready_and_on_no_shard() -> None:
    others = (sharded.model(f"b{number}", 1, "2Gi", year=2025) for number in range(3))
    full = sharded.settled(*others, sharded.model(copies=2), least=3, most=3)
    outcome = ready(full)
    assert outcome[:2] == ("False", "MemoryResourceNotAvailable")
    assert "free: 0, 0, 0" in (outcome[2] or "")
    assert counts(status(full)) == ("0/2", None, 2, 0)


def test_model_that_grew_past_its_shard_stays_ready_with_the_sentence() -> None:
    full = sharded.settled(sharded.model("b", memory="1Gi"), sharded.model(), least=1, most=1)
    grown = sharded.changed(full, sharded.model(memory="1536Mi"))
    outcome = ready(grown)
    assert outcome[:2] == ("True", "MemoryResourceNotAvailable")
    assert (outcome[2] or "").endswith("It stays loaded with 1Gi.")


def test_model_that_grew_and_moves_to_another_shard_does_not_wait() -> None:
    full = sharded.settled(sharded.model("b", memory="1Gi"), sharded.model(), least=1, most=2)
    grown = sharded.changed(full, sharded.model(memory="1536Mi"))
    assert ready(grown) == ("True", None, "1 copy more than needed, to be removed when 1 other is routed")
    assert counts(status(grown)) == ("1/1", "s0,s1", 1, 1)
    moved = world.settle(grown)
    assert (ready(moved), counts(status(moved))) == (("True", None, None), ("1/1", "s1", 1, 1))


def test_model_that_grew_with_other_files_is_not_ready_while_the_previous_version_answers() -> None:
    full = sharded.settled(sharded.model("b", memory="1Gi"), sharded.model(), least=1, most=1)
    newer = sharded.model(memory="1536Mi", uri="gs://models/newer")
    outcome = ready(sharded.changed(full, newer))
    assert outcome[:2] == ("False", "MemoryResourceNotAvailable")
    after = status(sharded.changed(full, newer))
    loaded = conditions.find(after.conditions, conditions.LOADED)
    assert loaded is not None
    assert loaded.message == "the new version is not placed; the previous version still answers"
    assert after.loaded == "0/1"


def test_new_version_is_ready_when_one_copy_has_it() -> None:
    observed = sharded.settled(sharded.model(copies=2))
    updated = sharded.changed(observed, sharded.model(copies=2, uri="gs://models/newer"))
    planned = world.carry_out(updated, plan(updated, make.NOW))
    assert ready(planned)[0] == "False"
    both = world.agents_follow(planned)
    one = sharded.on_shard(both, 1, "a", ModelState.LOADING, serving=True)
    assert ready(one) == ("True", None, "loaded on 1 of 2 copies; s1: loading")


def test_surplus_copies_are_counted_until_they_are_struck() -> None:
    observed = sharded.settled(sharded.model(copies=3))
    unrouted = {
        uid: report.model_copy(
            update={"models": {name: replace(each, routed=False) for name, each in report.models.items()}}
        )
        for uid, report in observed.agents.items()
    }
    fewer = sharded.changed(replace(observed, agents=unrouted), sharded.model(copies=1))
    assert ready(fewer) == ("True", None, "2 copies more than needed, to be removed when 1 other is routed")
    assert counts(status(fewer)) == ("3/1", "s0,s1,s2", 1, 3)
    routed = replace(fewer, agents=observed.agents)
    assert ready(routed) == ("True", None, None)
    assert counts(status(routed)) == ("1/1", "s0", 1, 1)


def test_host_with_fewer_pods_than_copies_is_named() -> None:
    observed = sharded.settled(sharded.model(copies=5), least=2, most=2)
    assert counts(status(observed)) == ("2/2", "s0,s1", 2, 2)
    assert (ready(observed)[2] or "").startswith("a may have 5 copies, and triton-mms has 2 pods at most")


def test_invalid_change_of_a_placed_model_keeps_its_copies() -> None:
    observed = sharded.settled(sharded.model(copies=2))
    after = status(sharded.changed(observed, sharded.model(copies=2, uri="nowhere")))
    assert (after.shards, after.loaded_replicas) == ("s0,s1", 2)
    loaded = conditions.find(after.conditions, conditions.LOADED)
    assert loaded is not None
    assert (loaded.status, loaded.reason) == ("False", "InvalidSpec")
    assert (loaded.message or "").endswith("; the previous version still answers")


def replica(index: int, report: AgentReport | None, *, is_ready: bool = True) -> Replica:
    name = f"pod-s{index}"
    return Replica(name, name, is_ready, True, {}, report, shard=index)


def test_model_that_no_router_leads_to_is_loaded_and_not_ready() -> None:
    replicas = {0: [replica(0, make.report(ENTRY))], 1: [replica(1, make.report(ENTRY))]}
    entries = {0: ENTRY, 1: ENTRY}
    assert copies_that_answer("a", entries, replicas) == (0, 1)
    assert copies_that_answer("a", entries, replicas, {"a"}) == (0, 1)
    assert copies_that_answer("a", entries, replicas, {"b"}) == ()
    loading = Copies("a", "h", entries, 2, replicas, led=frozenset()).loading()
    assert (loading.condition.status, loading.condition.reason) == ("False", "Pending")
    assert loading.condition.message == "loaded on 2 of 2 copies; not all routers lead requests to it yet"
    assert loading.loaded == 2


def test_loaded_copy_has_the_note_and_the_warning_of_its_agent() -> None:
    noted = make.report(ENTRY, message="it cannot be refreshed")
    warned = make.report(ENTRY, warning="it is too large")
    replicas = {0: [replica(0, noted)], 1: [replica(1, warned)]}
    condition = Copies("a", "h", {0: ENTRY, 1: ENTRY}, 2, replicas).loading().condition
    assert (condition.reason, condition.message) == ("ContentRefused", "pod-s1: it is too large")


MODEL_REPORTS = st.builds(
    ModelReport,
    state=st.sampled_from(ModelState),
    digest=st.sampled_from([ENTRY.digest, OTHER.digest]),
    message=st.sampled_from(["", "why"]),
    serving=st.booleans(),
)


@st.composite
def replicas_by_shard(draw: st.DrawFn) -> Mapping[int, Sequence[Replica]]:
    """Draw up to two pods for each of four shards."""

    def pod(index: int) -> Replica:
        models = draw(st.just({}) | MODEL_REPORTS.map(lambda each: {"a": each}))
        report = AgentReport(instance="i", revision=1, server_ready=draw(st.booleans()), models=models)
        return replica(index, draw(st.sampled_from([report, report, None])), is_ready=draw(st.booleans()))

    return {index: [pod(index) for _ in range(draw(st.integers(0, 2)))] for index in range(4)}


@given(
    replicas_by_shard(),
    st.dictionaries(st.integers(0, 3), st.sampled_from([ENTRY, OTHER])),
    st.integers(1, 4),
    st.sampled_from([None, frozenset(), frozenset({"a"})]),
)
@tried(300)
def test_model_is_loaded_exactly_while_a_copy_answers(
    replicas: Mapping[int, Sequence[Replica]], entries: Any, wanted: int, led: frozenset[str] | None
) -> None:
    loading = Copies("a", "h", entries, wanted, replicas, newest=ENTRY.digest, waiting="full", led=led).loading()
    current = {index: each for index, each in entries.items() if each is ENTRY}
    answering = copies_that_answer("a", current, replicas, led)
    assert (loading.condition.status == "True") == bool(answering)
    assert len(answering) <= loading.loaded <= len(entries)
    assert all(any(each.ready and "a" in each.answering for each in replicas[index]) for index in answering)
    assert loading.replicas == wanted
    assert (loading.shards is None) == (not entries)
    assert loading.condition.status == "True" or loading.condition.message


@given(st.lists(st.tuples(st.sampled_from(["256Mi", "1Gi", "2Gi"]), st.integers(1, 3)), max_size=4))
@tried(40)
def test_settled_host_has_at_most_as_many_loaded_copies_as_needed(models: list[tuple[str, int]]) -> None:
    wanted = [sharded.model(f"m{number}", copies, memory) for number, (memory, copies) in enumerate(models)]
    for each in sharded.settled(*wanted).models:
        loaded, replicas = each.status.loaded_replicas, each.status.replicas
        assert loaded is not None
        assert replicas is not None
        assert loaded <= replicas == (each.spec.min_replicas or 1)
        condition = conditions.find(each.status.conditions, conditions.READY)
        assert condition is not None
        assert (condition.status == "True") == (loaded > 0)
