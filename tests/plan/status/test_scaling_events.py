"""Events about copies and shards: one for each change, with its figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from manyserve.api.agentreport import ModelState
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.actions import Event, Plan, by_subject
from manyserve.plan.observed import Observed, Scaling
from manyserve.plan.plan import plan
from manyserve.plan.sharding.drain import DRAIN_DELAY
from manyserve.plan.sharding.scaling import Decision
from tests.support import make, sharded, world

LATER = make.NOW + timedelta(seconds=DRAIN_DELAY)
SCALING = ("ScaledUp", "ScaledDown", "ShardAdded", "ShardDrained")


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    with sharded.served():
        yield


def said(todo: Plan) -> list[tuple[str, str, str]]:
    return [(each.name, each.reason, each.message) for each in todo.events if each.reason in SCALING]


def scaled(observed: Observed, decision: Decision) -> Observed:
    return replace(observed, scaling=Scaling({"a": decision}))


def test_scaled_up_event_has_the_copies_the_traffic_and_the_target() -> None:
    observed = sharded.settled(sharded.model(maxReplicas=3, scaleTarget=2))
    busy = scaled(observed, Decision(3, 5_700, "panic"))
    todo = plan(busy, make.NOW)
    assert [each.type for each in todo.events] == ["Normal"]
    sentence = "1 to 3 copies: 5.7 requests in flight on average of 10 s, target 2 a copy"
    assert said(todo) == [("a", "ScaledUp", sentence)]
    assert len(todo.configs) == 2
    assert said(plan(busy, make.NOW)) == said(todo), "it is sent with the status, which is not stored yet"
    stored = world.carry_out(busy, todo)
    assert said(plan(stored, make.NOW)) == []
    assert stored.models[0].status.replicas == 3


def test_scaled_down_event_has_the_metric_of_the_host() -> None:
    raw = make.host_object(allocation="Heterogeneous", minReplicas=3, maxReplicas=4, scaleMetric="rps", scaleTarget=20)
    start = replace(sharded.host(sharded.model(maxReplicas=3)), host=InferenceService.from_wire(raw))
    observed = world.settle(world.settle(scaled(start, Decision(3, 50_000))))
    assert observed.models[0].status.loaded == "3/3"
    todo = plan(scaled(observed, Decision(2, 31_250)), make.NOW)
    sentence = "3 to 2 copies: 31.2 requests a second on average of 60 s, target 20 a copy"
    assert said(todo) == [("a", "ScaledDown", sentence)]


@pytest.mark.parametrize(
    ("least", "most", "sentence"),
    [
        (3, None, "1 to 3 copies: minReplicas is 3, maxReplicas is 3"),
        (2, 4, "1 to 2 copies: minReplicas is 2, maxReplicas is 4"),
        (9, 9, "1 to 4 copies: minReplicas is 9, maxReplicas is 9, the host has 4 pods at most"),
    ],
)
def test_scaled_event_names_the_bounds_that_users_changed(least: int, most: int | None, sentence: str) -> None:
    observed = sharded.settled(sharded.model(), least=4)
    changed = sharded.changed(observed, sharded.model(copies=least, maxReplicas=most))
    assert said(plan(changed, make.NOW)) == [("a", "ScaledUp", sentence)]
    with_traffic = scaled(changed, Decision(min(least, 4), 100))
    assert said(plan(with_traffic, make.NOW)) == [("a", "ScaledUp", sentence)], "the traffic did not change it"


def test_model_that_comes_to_a_host_is_not_scaled() -> None:
    assert said(plan(sharded.host(sharded.model(copies=3)), make.NOW)) == []
    observed = sharded.changed(sharded.settled(sharded.model()), sharded.model(copies=3))
    assert len(said(plan(observed, make.NOW))) == 1
    assert observed.host is not None
    meta = observed.host.metadata.model_copy(update={"uid": "another"})
    another = observed.host.model_copy(update={"metadata": meta})
    moved = replace(observed, host=another, children={})
    assert said(plan(moved, make.NOW)) == [], "its stored copies are those of another host"
    status = observed.models[0].status.model_copy(update={"shards": None})
    homogeneous = replace(observed, models=(observed.models[0].model_copy(update={"status": status}),))
    assert said(plan(homogeneous, make.NOW)) == [], "its stored number is that of the pods of a homogeneous host"


def test_copies_that_load_send_one_event_only() -> None:
    observed = sharded.changed(sharded.settled(sharded.model()), sharded.model(copies=2))
    events: list[Event] = []
    for _ in range(3):
        todo = plan(observed, make.NOW)
        events += todo.events
        observed = sharded.on_shard(
            world.agents_follow(world.carry_out(observed, todo)), 1, "a", ModelState.DOWNLOADING
        )
    loaded = world.agents_follow(observed)
    events += plan(loaded, make.NOW).events
    assert [each.reason for each in events] == ["ScaledUp"]


def test_copy_that_fails_and_recovers_sends_one_event_each() -> None:
    observed = sharded.settled(sharded.model(copies=2))
    failing = sharded.on_shard(observed, 1, "a", ModelState.LOAD_FAILED, message="no file", attempt=1)
    first = plan(failing, make.NOW)
    assert [(each.type, each.reason) for each in first.events] == [("Warning", "LoadFailed")]
    again = sharded.on_shard(
        world.carry_out(failing, first), 1, "a", ModelState.LOAD_FAILED, message="no file", attempt=2
    )
    assert plan(again, make.NOW).events == ()
    whole = world.agents_follow(world.carry_out(again, plan(again, make.NOW)))
    (ready,) = plan(whole, make.NOW).events
    assert (ready.reason, ready.message.partition(";")[0]) == ("Ready", "loaded on 2/2 copies")


def test_shard_added_event_has_the_pods_and_the_memory() -> None:
    observed = sharded.settled(sharded.model(memory="1536Mi"), least=1)
    more = replace(observed, models=(*observed.models, *(sharded.model(name, 1, "2Gi") for name in ("b", "c"))))
    todo = plan(more, make.NOW)
    assert said(todo) == [("triton-mms", "ShardAdded", "s1,s2: 1 to 3 pods (1-4), memory 5.50Gi/6Gi")]
    assert said(plan(world.carry_out(more, todo), make.NOW)) == []


def test_shard_drained_event_has_the_pods_and_the_memory() -> None:
    both = sharded.settled(sharded.model(memory="1536Mi"), sharded.model("b", memory="1536Mi"), least=1)
    fewer = replace(both, models=both.models[:1])
    for _ in range(2):
        fewer = world.carry_out(fewer, plan(fewer, make.NOW))
    todo = plan(fewer, LATER)
    assert said(todo) == [("triton-mms", "ShardDrained", "s1: 2 to 1 pods (1-4), memory 1.50Gi/2Gi")]
    assert said(plan(world.carry_out(fewer, todo), LATER)) == []


def test_new_host_and_homogeneous_host_send_no_event_about_shards() -> None:
    assert said(plan(sharded.host(), make.NOW)) == []
    homogeneous = world.settle(replace(sharded.host(make.model()), host=make.host(), pods=(make.pod(),)))
    assert homogeneous.host is not None
    assert homogeneous.host.status.shards is None
    scaled_out = replace(homogeneous, pods=(make.pod(), make.pod("pod-2")))
    assert said(plan(scaled_out, make.NOW)) == []


def test_stored_text_that_names_no_shards_is_skipped() -> None:
    observed = sharded.settled(least=1)
    assert observed.host is not None
    forged = observed.host.status.model_copy(update={"shards": "s0,evil,s00001,s-1"})
    host = observed.host.model_copy(update={"status": forged})
    assert said(plan(replace(observed, host=host), make.NOW)) == []


def test_events_of_one_object_are_kept_together() -> None:
    first, second, other = (Event("TrainedModel", name, "u", "Normal", name, name) for name in ("a", "a", "b"))
    assert by_subject((first, other, second)) == {
        ("TrainedModel", "a"): (first, second),
        ("TrainedModel", "b"): (other,),
    }
