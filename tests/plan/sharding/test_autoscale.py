"""Decisions about the copies of a host's models: from the traffic of its pods, and from stored statuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus, placed_by
from manyserve.plan.observed import Observed, Scaling
from manyserve.plan.plan import plan
from manyserve.plan.sharding.autoscale import Scaled, scaled, stored_copies
from manyserve.plan.sharding.scaling import SCALE_DOWN_STABILIZATION, TICK, Decision
from tests.support import make, sharded, world
from tests.support.traffic import interval

HOST = make.host(allocation="Heterogeneous", minReplicas=3, maxReplicas=8)


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    with sharded.served():
        yield


def stored(copies: int, host: str = "triton-mms", **fields: int | str) -> TrainedModel:
    """Return a model with a stored number of copies on a host."""
    model = sharded.model("a", **({"maxReplicas": 8} | fields))  # type: ignore[arg-type]
    status = TrainedModelStatus(
        replicas=copies, shards="s0", observed_uid=model.metadata.uid, placed_by=placed_by(host, f"uid-{host}")
    )
    return model.model_copy(update={"status": status})


def after(
    model: TrainedModel, traffic: float | None, ticks: int, before: dict[str, Scaled], start: int = 0
) -> dict[str, Scaled]:
    """Return the decisions after ticks with this traffic."""
    for now in range(start, start + ticks * TICK, TICK):
        intervals = [] if traffic is None else [interval(now, a=traffic)]
        before = scaled(HOST, [model], intervals, before, now)
    return before


def test_model_with_a_range_of_copies_is_scaled_and_others_are_not() -> None:
    models = [
        sharded.model("a", maxReplicas=3),
        sharded.model("b", 2),
        sharded.model("c", 2, maxReplicas=2),
        sharded.model("d", 8, maxReplicas=20),
    ]
    found = scaled(HOST, models, [interval(0, a=9.0, b=9.0, c=9.0, d=9.0)], {}, 0)
    assert {name: each.decision.copies for name, each in found.items()} == {"a": 3}


def test_traffic_of_all_pods_is_added_up() -> None:
    found = scaled(HOST, [sharded.model("a", maxReplicas=8)], [interval(0, a=2.0), interval(1, a=3.0)], {}, 1)
    assert found["a"].decision == Decision(5, 5000, "panic")


def test_metric_and_target_are_those_of_the_model() -> None:
    model = sharded.model("a", maxReplicas=8, scaleMetric="rps", scaleTarget=1)
    found = scaled(HOST, [model], [interval(0, a=9.0)], {}, 0)
    assert found["a"].decision.average == 2000, "10 requests in 5 s"


def test_model_with_unknown_traffic_has_no_decision_and_keeps_its_last_one() -> None:
    model = stored(2)
    assert after(model, None, 3, {}) == {}
    known = after(model, 4.0, 3, {})
    assert known["a"].decision.copies == 4
    assert after(model, None, 200, known, start=15)["a"].decision.copies == 4


def test_new_leader_begins_with_the_stored_copies_and_removes_none_before_the_stabilization() -> None:
    whole = SCALE_DOWN_STABILIZATION // TICK
    early = after(stored(5), 0.2, whole - 1, {})
    assert early["a"].decision.copies == 5
    assert after(stored(5), 0.2, 1, early, start=(whole - 1) * TICK)["a"].decision.copies == 1


def test_history_of_another_metric_begins_anew() -> None:
    busy = after(stored(1, scaleTarget=2), 1.5, 200, {})
    changed = stored(1, scaleTarget=2, scaleMetric="rps")
    assert len(after(changed, 1.5, 1, busy, start=1000)["a"].history.samples) == 1


@pytest.mark.parametrize(
    ("model", "copies"),
    [
        (stored(3), 3),
        (stored(99), 8),
        (stored(0), 1),
        (stored(3, "other"), 1),
        (sharded.model("a", 2, maxReplicas=8), 2),
    ],
    ids=["within", "above", "below", "of another host", "without a status"],
)
def test_stored_copies_are_within_the_bounds_and_those_of_this_host(model: TrainedModel, copies: int) -> None:
    assert stored_copies(HOST, [model]) == {"a": copies}


def scaled_to(copies: int) -> Observed:
    start = replace(sharded.host(sharded.model("a", maxReplicas=4)), scaling=Scaling({"a": Decision(copies, 3000)}))
    return world.settle(world.settle(start))


def test_plan_without_decisions_keeps_the_copies_of_the_stored_status() -> None:
    three = scaled_to(3)
    assert three.models[0].status.loaded == "3/3"
    assert plan(replace(three, scaling=Scaling()), make.NOW).empty
    assert plan(replace(three, scaling=Scaling({"a": Decision(1)})), make.NOW).changes_config


def test_homogeneous_host_scales_no_model() -> None:
    host = InferenceService.from_wire(make.host_object(minReplicas=1, maxReplicas=8))
    assert stored_copies(host, [stored(3)]) == {}
    assert scaled(host, [stored(3)], [interval(0, a=9.0)], {}, 0) == {}
