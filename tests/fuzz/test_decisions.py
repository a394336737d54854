"""Properties of the parts of a plan: placement, rules, config refresh, conditions, comparison of objects."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import conditions, modelconfig
from manyserve.api.agentreport import AgentReport
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.children.common import difference
from manyserve.plan.config_refresh import config_refreshes
from manyserve.plan.memory import memory_limit
from manyserve.plan.observed import Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from manyserve.plan.pods import replicas_of
from manyserve.plan.rules.validation import UnreadableError, host_problems, model_problems, parse_host, parse_model
from manyserve.plan.status.loading import not_placed, roll_up, still_served
from manyserve.plan.status.pod_problem import pod_problem
from tests.fuzz import snapshots
from tests.fuzz.profile import tried
from tests.fuzz.shapes import JSON, STORED_JSON, TEXT, near, right
from tests.fuzz.test_plan import size
from tests.support import make, world
from tests.support.placed import place_on_one

ENTRIES = snapshots.parsed(
    Entry, st.fixed_dictionaries({"modelName": snapshots.NAMES, "modelSpec": snapshots.MODEL_SPECS})
)
WANTED = "0123456789abcdef"
REFRESHED = st.builds("{}.{}.{}".format, st.just(WANTED), st.integers(0, 99) | snapshots.SECONDS, snapshots.SECONDS)


@given(
    snapshots.hosts(),
    snapshots.models(),
    st.lists(ENTRIES, max_size=5, unique_by=lambda each: each.model_name),
    snapshots.configs(),
    st.lists(snapshots.NAMES, max_size=2),
)
@tried(80)
def test_placement_fits_and_is_stable_for_any_current_entries(
    host: InferenceService, models: Any, current: list[Entry], config: Any, unreadable: list[str]
) -> None:
    models = [each for each in models if each.metadata.name not in unreadable]
    placement = place_on_one(host, models, current, config, unreadable)
    total = sum(size(entry.model_spec.memory) for entry in placement.placed.values())
    assert total == placement.used <= memory_limit(host) == placement.limit
    assert all(name == entry.model_name for name, entry in placement.placed.items())
    assert not placement.placed.keys() & (placement.insufficient_memory.keys() | placement.left_out.keys())
    stays = {name: entry for name, entry in placement.placed.items() if entry in current}
    assert place_on_one(host, models, [*placement.placed.values()], config, unreadable).placed == placement.placed
    assert all(placement.placed[name] == entry for name, entry in stays.items())


@given(thing=near(InferenceService) | near(TrainedModel) | JSON, host=st.booleans())
@tried(80)
def test_rules_have_a_sentence_for_any_object(thing: Any, *, host: bool) -> None:
    raw = thing if isinstance(thing, dict) else {"metadata": {"name": "x"}, "spec": thing}
    problems = host_problems(raw) if host else model_problems(raw, make.config().credentials.https)
    for problem in problems:
        assert str(problem).isprintable()
        assert len(problem.message) < 2048
    try:
        (parse_host if host else parse_model)(raw)
    except UnreadableError:
        assert problems


@given(REFRESHED | TEXT, st.floats(-86400, 86400))
@tried(90)
def test_config_refresh_is_due_soon_for_any_annotation(note: str, jump: float) -> None:
    now = make.NOW + timedelta(seconds=jump)
    pod = make.pod(annotations={"serving.kserve.io/model-config": note})
    behind = Observed(key=snapshots.KEY, config=make.config(), pods=(pod,), agents={"uid-pod-1": make.report()})
    due, wait = config_refreshes(replicas_of(behind.pods, behind.agents), WANTED, now)
    assert wait is not None
    assert math.isfinite(wait)
    assert 0 < wait <= 61
    refreshed = make.pod(annotations={"serving.kserve.io/model-config": due[0].config_hash if due else note})
    again, later = config_refreshes(replicas_of((refreshed,), behind.agents), WANTED, now)
    assert not again, "a refresh is not repeated at once"
    assert later == pytest.approx(wait, abs=0.001)


@given(st.lists(snapshots.pods(), max_size=3, unique_by=lambda pod: pod["metadata"]["name"]), st.data())
@tried(80)
def test_conditions_are_valid_for_any_pods_and_reports(pods: Any, data: st.DataObject) -> None:
    model = make.model()
    entry = entry_of(model)
    report = snapshots.parsed(AgentReport, snapshots.reports(entry))
    observed = Observed(
        key=snapshots.KEY,
        config=make.config(),
        host=make.host(),
        models=(model,),
        pods=tuple(pods),
        agents={pod["metadata"]["uid"]: data.draw(report) for pod in pods},
    )
    replicas = replicas_of(observed.pods, observed.agents)
    loading = roll_up("triton-mms", entry, replicas)
    assert 0 <= loading.loaded <= loading.replicas <= len(pods)
    assert (loading.condition.status == "True") == (0 < loading.loaded == loading.replicas)
    assert not_placed(replicas, "why").replicas == loading.replicas
    assert still_served(entry, replicas) in ("", "; the previous version still answers")
    pod_problem(pods)
    after = world.carry_out(observed, plan(observed, make.NOW))
    assert after.host is not None
    assert conditions.find(after.host.status.conditions, "PredictorReady")
    assert conditions.find(after.models[0].status.conditions, "Loaded")


@given(STORED_JSON, STORED_JSON)
@tried(90)
def test_difference_compares_any_two_values(wanted: Any, observed: Any) -> None:
    first = difference(wanted, observed, "spec")
    assert first is None or "spec" in first
    assert difference(wanted, wanted) is None


@given(st.lists(ENTRIES, max_size=6, unique_by=lambda each: each.model_name), st.randoms(use_true_random=False))
@tried(60)
def test_model_config_dump_is_independent_of_order(entries: list[Entry], random: Any) -> None:
    text = modelconfig.dump(entries)
    random.shuffle(entries)
    assert modelconfig.dump(entries) == text
    assert set(modelconfig.parse(text)) == set(entries)
    assert [each.model_name for each in modelconfig.parse(text)] == sorted(each.model_name for each in entries)


def test_drawn_specs_are_often_valid() -> None:
    """At least a quarter of the models and hosts is valid, since invalid ones alone would find no defect of a plan."""
    models: list[bool] = []
    hosts: list[bool] = []

    @given(snapshots.models(), snapshots.hosts(), right(Entry))
    @tried(100)
    def count(drawn: Any, host: InferenceService, _entry: Any) -> None:
        models.extend(not model_problems(each) for each in drawn)
        hosts.append(not host_problems(host))

    count()
    assert sum(models) > len(models) / 4
    assert sum(hosts) > len(hosts) / 4
