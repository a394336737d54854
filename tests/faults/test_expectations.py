"""The expectations find violations: each has a history that violates it, and the good history does not."""

from __future__ import annotations

from typing import Any

from manyserve.api import modelconfig
from tests.faults import expectations
from tests.faults.expectations import Revision
from tests.support import make
from tests.support.kserve_forms import REASON

Manifest = dict[str, Any]
GI = 1 << 30


class HistoryBuilder:
    """Builds a history revision by revision."""

    def __init__(self) -> None:
        self.history: list[Revision] = []

    def add(self, thing: Manifest, *, gone: bool = False, **metadata: Any) -> HistoryBuilder:
        version = len(self.history) + 1
        stored = thing | {"metadata": thing["metadata"] | metadata}
        name = stored["metadata"]["name"]
        self.history.append(Revision(version, float(version), thing["kind"], name, stored, gone))
        return self

    def places(self, *names: str, memory: int = GI) -> HistoryBuilder:
        spec = {"storageUri": make.model_object()["spec"]["model"]["storageUri"], "framework": "pytorch"}
        raw = [{"modelName": name, "modelSpec": spec | {"memory": memory}} for name in names]
        text = modelconfig.dump(modelconfig.Entry.from_wire(each) for each in raw)
        config = {"kind": "ConfigMap", "metadata": {"name": "modelconfig-triton-mms-0"}, "data": {"models.json": text}}
        return self.add(config)


def with_status(thing: Manifest, *, ready: bool, generation: int = 1) -> Manifest:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return thing | {"status": {"observedGeneration": generation, "conditions": conditions}}


def good() -> HistoryBuilder:
    """Return the history of a host with one placed model and one that does not fit, with all statuses."""
    builder = HistoryBuilder().add(with_status(make.host_object(memory="1Gi"), ready=True))
    builder.add(with_status(make.model_object("one"), ready=True)).add(
        with_status(make.model_object("two"), ready=False)
    )
    return builder.places("one")


def test_expectations_hold_for_good_history() -> None:
    history = good().history
    assert expectations.always(history) == []
    assert expectations.final_problems(history) == []
    assert expectations.writes_after(history, since=4.0) == []


def test_expectations_find_model_deleted_before_its_host() -> None:
    by = {"placedBy": {"name": "triton-mms", "uid": "uid-triton-mms"}}
    builder = HistoryBuilder().add(make.host_object()).add(make.model_object("one") | {"status": by})
    builder.add(make.host_object(), gone=True).add(make.host_object(), uid="uid-of-the-next")
    early, late = [(2.5, "one")], [(3.5, "one"), (4.5, "one")]
    assert expectations.models_outlive_their_host(builder.history, late) == []
    assert expectations.models_outlive_their_host(builder.history, early) == [
        "the operator deleted one, and its host triton-mms exists"
    ]


def test_expectations_ignore_unmanaged_objects() -> None:
    unmanaged = {REASON: "KServeFinalizer"}
    builder = good().add(make.host_object("kserves"), annotations=unmanaged)
    builder.add(make.model_object("of-kserve", host="kserves"), annotations=unmanaged)
    assert expectations.final_problems(builder.history) == []


def test_o1_finds_model_that_fits_and_is_not_placed() -> None:
    history = good().add(with_status(make.host_object(memory="2Gi"), ready=True)).history
    assert expectations.final_problems(history) == ["two would fit and is not placed"]


def test_o1_finds_changed_model_that_is_placed_as_before() -> None:
    history = good().add(with_status(make.model_object("one", uri="gs://bucket/new"), ready=True)).history
    assert expectations.final_problems(history) == ["one is placed as it was before"]


def test_o2_finds_deleted_model_that_is_placed() -> None:
    history = good().add(make.model_object("two"), gone=True).add(make.model_object("one"), gone=True).history
    assert expectations.final_problems(history) == ["one is placed and does not exist"]


def test_o3_finds_memory_above_limit_in_each_revision() -> None:
    history = good().places("one", "two").places("one").history
    assert expectations.memory_is_never_above_the_limit(history) == [
        f"revision 5 of modelconfig-triton-mms-0 holds {2 * GI} bytes, its host has {GI}"
    ]


def test_o4_finds_model_dropped_without_change() -> None:
    history = good().places().places("one").history
    assert expectations.placed_models_stay(history) == [
        "revision 5 of modelconfig-triton-mms-0 drops one, which nobody changed"
    ]


def test_o4_allows_drop_of_changed_or_deleted_model() -> None:
    changed = make.model_object("one")
    assert expectations.placed_models_stay(good().add(changed, generation=2).places().history) == []
    assert expectations.placed_models_stay(good().add(changed, gone=True).places("two").history) == []


def test_o4_allows_drop_of_recreated_model() -> None:
    builder = good().add(make.model_object("one"), gone=True).add(make.model_object("one"), uid="another")
    assert expectations.placed_models_stay(builder.places("two").history) == []


def test_o5_finds_status_of_older_generation() -> None:
    history = good().add(with_status(make.model_object("one"), ready=True), generation=2).history
    assert expectations.final_problems(history) == ["the status of TrainedModel one is about an older spec"]


def test_o5_finds_ready_model_that_is_not_placed() -> None:
    history = good().add(with_status(make.model_object("two"), ready=True)).history
    assert expectations.final_problems(history) == ["TrainedModel two says Ready=True, and is not placed"]


def test_o6_finds_late_write() -> None:
    history = good().places("one").history
    assert expectations.writes_after(history, since=4.0) == [
        "ConfigMap modelconfig-triton-mms-0 was written again, revision 5"
    ]


def test_o6_counts_events_of_operator_only() -> None:
    event = {"kind": "Event", "metadata": {"name": "one.1"}, "involvedObject": {"kind": "Pod", "name": "one"}}
    assert (
        expectations.writes_after(good().add(event | {"source": {"component": "scheduler"}}).history, since=4.0) == []
    )
    assert expectations.writes_after(good().add(event | {"reportingComponent": "manyserve"}).history, since=4.0) == [
        "Event one.1 was written again, revision 5"
    ]


def test_o7_finds_changed_foreign_object() -> None:
    foreign = {"kind": "Service", "metadata": {"name": "triton-mms", "labels": {expectations.FOREIGN: "yes"}}}
    assert expectations.foreign_objects_stay_unchanged(good().add(foreign).history) == []
    history = good().add(foreign).add(foreign).history
    assert expectations.foreign_objects_stay_unchanged(history) == [
        "Service triton-mms is foreign, and has 2 revisions"
    ]


def test_expectations_find_flood_of_events() -> None:
    builder = good()
    for number in range(expectations.MOST_EVENTS + 1):
        about = {"kind": "TrainedModel", "name": "one"}
        event = {"kind": "Event", "involvedObject": about, "reportingComponent": "manyserve"}
        builder.add(event | {"metadata": {"name": f"one.{number}"}})
    assert expectations.events_are_few(builder.history) == ["TrainedModel one has 26 Events"]
