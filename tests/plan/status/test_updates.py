"""Status updates: only what differs, and what is final before progress."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.api.agentreport import ModelState
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.actions import Priority, SetStatus
from manyserve.plan.observed import Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from manyserve.plan.status.updates import host_update, model_updates
from tests.plan.test_plan import seen
from tests.support import make, sharded, world

FAILED = ModelState.LOAD_FAILED


def updates(observed: Observed) -> list[SetStatus]:
    return [each for each in plan(observed, make.NOW).statuses if each.kind == "TrainedModel"]


@pytest.fixture
def settled() -> Observed:
    return world.settle(seen(make.model(uri="gs://bucket/before")))


def changed(settled: Observed, host: str = "triton-mms") -> TrainedModel:
    """Return the model of the settled host with another spec and the status of the previous one."""
    model = make.model(host=host)
    metadata = model.metadata.model_copy(update={"generation": 2})
    return model.model_copy(update={"metadata": metadata, "status": settled.models[0].status})


def test_status_update_of_a_new_model_has_the_last_priority_if_it_says_progress() -> None:
    (update,) = updates(seen(make.model()))
    assert update.priority is Priority.TRANSIENT


@pytest.mark.parametrize(
    "created", ["2025-12-31T23:59:58Z", "2027-01-01T00:00:00Z", "", "yesterday", "2026-01-01T00:00:00"]
)
def test_status_update_of_a_model_that_is_not_new_any_more_waits_in_bursts_only(created: str) -> None:
    """Likewise of one with an age that nobody knows: a time that lies ahead, or that somebody forged."""
    (update,) = updates(seen(make.model(created=created)))
    assert update.priority is Priority.CHANGED


def test_status_update_of_a_changed_model_is_progress_while_the_previous_version_answers(settled: Observed) -> None:
    (update,) = updates(replace(settled, models=(changed(settled),)))
    assert update.priority is Priority.CHANGED


def test_status_update_of_a_changed_model_that_failed_is_final(settled: Observed) -> None:
    model = changed(settled)
    failed = make.report(entry_of(model), state=ModelState.LOAD_FAILED)
    (update,) = updates(replace(settled, models=(model,), agents={"uid-pod-1": failed}))
    assert update.priority is Priority.FINAL


def test_status_update_of_a_model_that_moved_to_another_host_is_final(settled: Observed) -> None:
    """It does not answer on the host that it left."""
    moved = changed(settled, host="another")
    (update,) = updates(seen(moved, host=make.host("another")))
    assert update.priority is Priority.FINAL


@pytest.mark.parametrize(("status", "priority"), [("True", Priority.FINAL), ("False", Priority.PROGRESS)])
def test_status_update_is_final_if_ready_falls_and_else_progress(status: str, priority: Priority) -> None:
    ready = {"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    stored: dict[str, Any] = {"observedGeneration": 1, "conditions": [ready]}
    (update,) = updates(seen(TrainedModel.from_wire(make.model_object() | {"status": stored})))
    assert update.priority is priority


def test_status_update_of_a_host_is_final_unless_only_its_totals_change(settled: Observed) -> None:
    assert settled.host is not None
    status = settled.host.status
    totals = status.model_copy(update={"models": "7/8", "memory": "1Gi/2Gi"})
    (update,) = host_update(settled.host, totals)
    assert update.priority is Priority.PROGRESS
    (update,) = host_update(settled.host, totals.model_copy(update={"url": "http://another"}))
    assert update.priority is Priority.FINAL
    assert list(host_update(settled.host, status.model_copy())) == []


def test_status_updates_leave_models_that_are_deleted_or_stay_as_they_are() -> None:
    model, status = make.model(), TrainedModelStatus(loaded="1/1")
    metadata = model.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T00:00:00Z"})
    deleted = model.model_copy(update={"metadata": metadata})
    assert (
        list(model_updates([(deleted, status), (model, model.status), (model, model.status.model_copy())], make.NOW))
        == []
    )
    assert [each.name for each in model_updates([(model, status)], make.NOW)] == ["cifar10"]


def test_status_update_of_further_copies_is_progress_and_the_number_of_copies_is_final() -> None:
    with sharded.served():
        settled = sharded.settled(sharded.model(copies=2))
        (loading,) = updates(sharded.on_shard(settled, 1, "a", ModelState.LOADING))
        (failing,) = updates(sharded.on_shard(settled, 1, "a", FAILED))
        (scaled,) = updates(sharded.changed(settled, sharded.model(copies=3)))
        (lost,) = updates(sharded.on_shard(sharded.on_shard(settled, 0, "a", FAILED), 1, "a", FAILED))
    assert loading.priority is Priority.PROGRESS
    assert {failing.priority, scaled.priority, lost.priority} == {Priority.FINAL}
