"""The parts of a plan by themselves: placement, rules, nudges, pace, what pods and agents say, and comparing."""

from __future__ import annotations

import math
from dataclasses import replace
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
from manyserve.plan.actions import Plan, WriteConfig
from manyserve.plan.children.common import difference
from manyserve.plan.config_refresh import config_refreshes
from manyserve.plan.memory import memory_limit
from manyserve.plan.observed import Observed
from manyserve.plan.pace import GAP, Traffic, hold_back, pay
from manyserve.plan.placement import entry_of, place
from manyserve.plan.plan import plan
from manyserve.plan.pods import pod_problem, replicas_of
from manyserve.plan.rules.validation import UnreadableError, host_problems, model_problems, parse_host, parse_model
from manyserve.plan.status.loading import not_placed, roll_up, still_served
from tests.fuzz import pictures
from tests.fuzz.profile import tried
from tests.fuzz.shapes import JSON, STORED_JSON, TEXT, near, right
from tests.fuzz.test_plan import size
from tests.support import make, world

ENTRIES = pictures.parsed(
    Entry, st.fixed_dictionaries({"modelName": pictures.NAMES, "modelSpec": pictures.MODEL_SPECS})
)
WANTED = "0123456789abcdef"
TOUCHED = st.builds("{}.{}.{}".format, st.just(WANTED), st.integers(0, 99) | pictures.SECONDS, pictures.SECONDS)


@given(
    pictures.hosts(),
    pictures.models(),
    st.lists(ENTRIES, max_size=5, unique_by=lambda each: each.model_name),
    pictures.configs(),
    st.lists(pictures.NAMES, max_size=2),
)
@tried(80)
def test_whatever_stands_in_models_json_what_is_placed_fits_and_each_that_waits_knows_why(
    host: InferenceService, models: Any, current: list[Entry], config: Any, unreadable: list[str]
) -> None:
    models = [each for each in models if each.metadata.name not in unreadable]
    found = place(host, models, current, config, unreadable)
    total = sum(size(entry.model_spec.memory) for entry in found.placed.values())
    assert total == found.used <= memory_limit(host) == found.limit
    assert all(name == entry.model_name for name, entry in found.placed.items())
    assert not found.placed.keys() & (found.insufficient_memory.keys() | found.left_out.keys())
    stays = {name: entry for name, entry in found.placed.items() if entry in current}
    assert place(host, models, [*found.placed.values()], config, unreadable).placed == found.placed
    assert all(found.placed[name] == entry for name, entry in stays.items())


@given(thing=near(InferenceService) | near(TrainedModel) | JSON, host=st.booleans())
@tried(80)
def test_the_rules_have_a_sentence_for_any_object(thing: Any, *, host: bool) -> None:
    raw = thing if isinstance(thing, dict) else {"metadata": {"name": "x"}, "spec": thing}
    problems = host_problems(raw) if host else model_problems(raw, make.config().credentials.https)
    for each in problems:
        assert str(each).isprintable()
        assert len(each.message) < 2048
    try:
        (parse_host if host else parse_model)(raw)
    except UnreadableError:
        assert problems


@given(TOUCHED | TEXT, st.floats(-86400, 86400))
@tried(90)
def test_whatever_the_annotation_says_a_pod_that_is_behind_is_touched_now_or_soon(note: str, jump: float) -> None:
    now = make.NOW + timedelta(seconds=jump)
    pod = make.pod(annotations={"serving.kserve.io/model-config": note})
    behind = Observed(key=pictures.KEY, config=make.config(), pods=(pod,), agents={"uid-pod-1": make.report()})
    due, wait = config_refreshes(replicas_of(behind), WANTED, now)
    assert wait is not None
    assert math.isfinite(wait)
    assert 0 < wait <= 61
    touched = make.pod(annotations={"serving.kserve.io/model-config": due[0].config_hash if due else note})
    again, later = config_refreshes(replicas_of(replace(behind, pods=(touched,))), WANTED, now)
    assert not again, "a touch is not repeated at once"
    assert later == pytest.approx(wait, abs=0.001)


@given(
    st.integers(-(10**8), 10**8) | st.integers(-1200, 1200),
    st.none() | st.floats(0.001, 60),
    st.sampled_from([None, "7"]),
    st.integers(1, 300),
)
@tried(100)
def test_whatever_the_clock_does_a_write_waits_no_longer_than_a_gap_or_two_seconds(
    passed: int, again: float | None, version: str | None, busy: int
) -> None:
    todo = Plan(config=WriteConfig({}, version), requeue_after=again)
    traffic = Traffic(pay(Traffic(), make.NOW), busy, crowd=busy > 1)
    held = hold_back(todo, traffic, make.NOW + timedelta(milliseconds=passed))
    if held.config is None:
        assert version is not None
        assert -1000 <= passed < traffic.long_gap * 1000
        assert held.requeue_after is not None
        assert 0 < held.requeue_after <= max(traffic.long_gap, 2 * GAP)
    else:
        assert held is todo


@given(st.lists(pictures.pods(), max_size=3, unique_by=lambda pod: pod["metadata"]["name"]), st.data())
@tried(80)
def test_whatever_pods_and_agents_say_is_told_in_a_condition_that_can_be_stored(pods: Any, data: st.DataObject) -> None:
    model = make.model()
    entry = entry_of(model)
    report = pictures.parsed(AgentReport, pictures.about(entry))
    seen = Observed(
        key=pictures.KEY,
        config=make.config(),
        host=make.host(),
        models=(model,),
        pods=tuple(pods),
        agents={pod["metadata"]["uid"]: data.draw(report) for pod in pods},
    )
    replicas = replicas_of(seen)
    said = roll_up("triton-mms", entry, replicas)
    assert 0 <= said.loaded <= said.replicas <= len(pods)
    assert (said.condition.status == "True") == (0 < said.loaded == said.replicas)
    assert not_placed(replicas, "why").replicas == said.replicas
    assert still_served(entry, replicas) in ("", "; the previous version still answers")
    pod_problem(pods)
    told = world.carry_out(seen, plan(seen, make.NOW))
    assert told.host is not None
    assert conditions.find(told.host.status.conditions, "PredictorReady")
    assert conditions.find(told.models[0].status.conditions, "Loaded")


@given(STORED_JSON, STORED_JSON)
@tried(90)
def test_any_two_values_are_compared_and_none_differs_from_itself(wanted: Any, observed: Any) -> None:
    said = difference(wanted, observed, "spec")
    assert said is None or "spec" in said
    assert difference(wanted, wanted) is None


@given(st.lists(ENTRIES, max_size=6, unique_by=lambda each: each.model_name), st.randoms(use_true_random=False))
@tried(60)
def test_models_json_is_the_same_bytes_for_the_same_models_in_any_order(entries: list[Entry], random: Any) -> None:
    text = modelconfig.dump(entries)
    random.shuffle(entries)
    assert modelconfig.dump(entries) == text
    assert set(modelconfig.parse(text)) == set(entries)
    assert [each.model_name for each in modelconfig.parse(text)] == sorted(each.model_name for each in entries)


def test_enough_of_the_specs_that_the_shapes_draw_are_valid() -> None:
    """A fuzz of objects that break rules would find nothing: a good part of the models and hosts is valid."""
    models: list[bool] = []
    hosts: list[bool] = []

    @given(pictures.models(), pictures.hosts(), right(Entry))
    @tried(100)
    def look(drawn: Any, host: InferenceService, _entry: Any) -> None:
        models.extend(not model_problems(each) for each in drawn)
        hosts.append(not host_problems(host))

    look()
    assert sum(models) > len(models) / 4
    assert sum(hosts) > len(hosts) / 4
