"""Plans for an unmanaged InferenceService: statuses of its models, one event, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from manyserve.api import conditions
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.management import host_unmanaged
from manyserve.plan.observed import Observed, UnmanagedHost
from manyserve.plan.plan import plan
from tests.support import make, world

KEY = Key("default", "triton-mms")
WHY = host_unmanaged({"metadata": {"finalizers": ["inferenceservice.finalizers"]}})
assert WHY
HOST = UnmanagedHost("uid-triton-mms", WHY)
SENTENCE = "metadata.finalizers: has inferenceservice.finalizers, so KServe looks after this object"


def snapshot(*models: TrainedModel) -> Observed:
    return Observed(key=KEY, config=make.config(), unmanaged=HOST, models=models)


def was_served(*models: TrainedModel) -> Observed:
    """Return the snapshot of a host with children and models that became unmanaged."""
    host = Observed(key=KEY, config=make.config(), host=make.host(), models=models, pods=(make.pod(),))
    return replace(world.settle(host), host=None, unmanaged=HOST)


def test_unmanaged_host_sets_all_conditions_of_its_models() -> None:
    after = world.carry_out(snapshot(make.model()), plan(snapshot(make.model()), make.NOW)).models[0].status
    message = f"InferenceService triton-mms is not managed by manyserve: {SENTENCE}"
    assert {each.type: (each.status, each.reason, each.message) for each in after.conditions} == {
        "FrameworkSupported": ("Unknown", "NotManaged", message),
        "InferenceServiceReady": ("Unknown", "NotManaged", message),
        "IsMMSPredictor": ("False", "NotManaged", message),
        "Loaded": ("Unknown", "NotManaged", message),
        "MemoryResourceAvailable": ("Unknown", "NotManaged", message),
        "Ready": ("False", "NotManaged", message),
    }
    assert after.observed_generation == 1
    assert (after.url, after.address, after.loaded) == (None, None, TrainedModelStatus().loaded)


def test_unmanaged_inferenceservice_that_never_was_a_host_gets_statuses_of_models_only() -> None:
    todo = plan(snapshot(make.model()), make.NOW)
    assert [each.kind for each in todo.statuses] == ["TrainedModel"]
    assert replace(todo, statuses=()).empty
    assert plan(snapshot(), make.NOW).empty


def test_unmanaged_host_statuses_of_models_are_written_once() -> None:
    after = world.carry_out(snapshot(make.model()), plan(snapshot(make.model()), make.NOW))
    assert plan(after, make.NOW + timedelta(hours=1)).empty


def test_unmanaged_host_writes_no_status_of_deleted_model() -> None:
    leaving = make.model_object()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert plan(snapshot(TrainedModel.from_wire(leaving)), make.NOW).empty


def test_unmanaged_host_keeps_children_and_gets_one_warning() -> None:
    before = was_served(make.model("a"), make.model("b"))
    todo = plan(before, make.NOW)
    assert (todo.applies, todo.deletes, todo.configs, todo.config_refreshes, todo.owner_references) == (
        (),
        (),
        (),
        (),
        (),
    )
    (event,) = todo.events
    assert (event.kind, event.name, event.uid, event.type) == (
        "InferenceService",
        "triton-mms",
        HOST.uid,
        "Warning",
    )
    assert (event.reason, event.once) == ("NotManaged", True)
    assert event.message == (
        "manyserve stops acting on this InferenceService, and leaves its children and models as they are: " + SENTENCE
    )
    after = world.carry_out(replace(before, announced=True), todo)
    assert plan(after, make.NOW).empty
    assert world.placed(after) == {"a", "b"}


def test_unmanaged_host_gets_no_event_for_children_of_an_earlier_host() -> None:
    before = replace(was_served(), unmanaged=UnmanagedHost("another", HOST.why))
    assert plan(before, make.NOW).events == ()


def test_unmanaged_host_that_is_managed_again_serves_its_models() -> None:
    before = was_served(make.model())
    unmanaged = world.carry_out(before, plan(before, make.NOW))
    again = world.settle(replace(unmanaged, host=make.host(), unmanaged=None))
    condition = conditions.find(again.models[0].status.conditions, conditions.READY)
    assert condition
    assert condition.status == "True"


@pytest.mark.parametrize("memory", ["1Gi", "512Mi"])
def test_unmanaged_model_keeps_its_entry_and_memory(memory: str) -> None:
    start = Observed(key=KEY, config=make.config(), host=make.host(), pods=(make.pod(),))
    placed = world.settle(replace(start, models=(make.model("kserves"), make.model("own", memory="512Mi"))))
    late = make.model("late", memory=memory)
    after = world.settle(replace(placed, models=(placed.models[1], late), unparsable=frozenset({"kserves"})))
    assert world.placed(after) == {"kserves", "own"} | ({"late"} if memory == "512Mi" else set())
