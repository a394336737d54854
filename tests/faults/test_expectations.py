"""The laws notice what they are there for: each has a history that breaks it, beside the one that does not."""

from __future__ import annotations

from typing import Any

from manyserve.api import modelconfig
from tests.faults import expectations
from tests.faults.expectations import Revision
from tests.support import make
from tests.support.kserve_forms import REASON

Manifest = dict[str, Any]
GI = 1 << 30


class Story:
    """A history that is told object by object."""

    def __init__(self) -> None:
        self.history: list[Revision] = []

    def tell(self, thing: Manifest, *, gone: bool = False, **metadata: Any) -> Story:
        version = len(self.history) + 1
        told = thing | {"metadata": thing["metadata"] | metadata}
        name = told["metadata"]["name"]
        self.history.append(Revision(version, float(version), thing["kind"], name, told, gone))
        return self

    def places(self, *names: str, memory: int = GI) -> Story:
        spec = {"storageUri": make.model_object()["spec"]["model"]["storageUri"], "framework": "pytorch"}
        found = [{"modelName": name, "modelSpec": spec | {"memory": memory}} for name in names]
        text = modelconfig.dump(modelconfig.Entry.from_wire(each) for each in found)
        config = {"kind": "ConfigMap", "metadata": {"name": "modelconfig-triton-mms-0"}, "data": {"models.json": text}}
        return self.tell(config)


def told(thing: Manifest, *, ready: bool, generation: int = 1) -> Manifest:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return thing | {"status": {"observedGeneration": generation, "conditions": conditions}}


def good() -> Story:
    """A host with one model placed and one that has no room, all told."""
    story = Story().tell(told(make.host_object(memory="1Gi"), ready=True))
    story.tell(told(make.model_object("one"), ready=True)).tell(told(make.model_object("two"), ready=False))
    return story.places("one")


def test_a_good_history_breaks_no_law() -> None:
    history = good().history
    assert expectations.always(history) == []
    assert expectations.what_is_not_right(history) == []
    assert expectations.writes_after(history, since=4.0) == []


def test_the_operator_deletes_a_model_only_when_the_host_that_placed_it_is_gone() -> None:
    by = {"placedBy": {"name": "triton-mms", "uid": "uid-triton-mms"}}
    story = Story().tell(make.host_object()).tell(make.model_object("one") | {"status": by})
    story.tell(make.host_object(), gone=True).tell(make.host_object(), uid="uid-of-the-next")
    early, late = [(2.5, "one")], [(3.5, "one"), (4.5, "one")]
    assert expectations.models_outlive_their_host(story.history, late) == []
    assert expectations.models_outlive_their_host(story.history, early) == [
        "the operator deleted one, and its host triton-mms is there"
    ]


def test_unmanaged_objects_need_not_be_placed_nor_have_a_status() -> None:
    unmanaged = {REASON: "KServeFinalizer"}
    story = good().tell(make.host_object("kserves"), annotations=unmanaged)
    story.tell(make.model_object("of-kserve", host="kserves"), annotations=unmanaged)
    assert expectations.what_is_not_right(story.history) == []


def test_o1_a_model_that_would_fit_must_be_placed() -> None:
    history = good().tell(told(make.host_object(memory="2Gi"), ready=True)).history
    assert expectations.what_is_not_right(history) == ["two would fit and is not placed"]


def test_o1_a_changed_model_must_be_placed_as_it_is_now() -> None:
    history = good().tell(told(make.model_object("one", uri="gs://bucket/new"), ready=True)).history
    assert expectations.what_is_not_right(history) == ["one is placed as it was before"]


def test_o2_a_deleted_model_must_not_stay() -> None:
    history = good().tell(make.model_object("two"), gone=True).tell(make.model_object("one"), gone=True).history
    assert expectations.what_is_not_right(history) == ["one is placed and does not exist"]


def test_o3_memory_above_the_limit_is_seen_in_any_revision_however_short() -> None:
    history = good().places("one", "two").places("one").history
    assert expectations.memory_is_never_above_the_limit(history) == [
        f"revision 5 of modelconfig-triton-mms-0 holds {2 * GI} bytes, its host has {GI}"
    ]


def test_o4_a_model_that_is_dropped_for_nothing_is_seen() -> None:
    history = good().places().places("one").history
    assert expectations.what_is_placed_stays(history) == [
        "revision 5 of modelconfig-triton-mms-0 drops one, which nobody changed"
    ]


def test_o4_a_model_that_was_changed_or_deleted_may_go() -> None:
    changed = make.model_object("one")
    assert expectations.what_is_placed_stays(good().tell(changed, generation=2).places().history) == []
    assert expectations.what_is_placed_stays(good().tell(changed, gone=True).places("two").history) == []


def test_o4_a_model_that_was_made_again_under_its_name_is_another() -> None:
    story = good().tell(make.model_object("one"), gone=True).tell(make.model_object("one"), uid="another")
    assert expectations.what_is_placed_stays(story.places("two").history) == []


def test_o5_a_status_about_an_older_spec_is_seen() -> None:
    history = good().tell(told(make.model_object("one"), ready=True), generation=2).history
    assert expectations.what_is_not_right(history) == ["the status of TrainedModel one is about an older spec"]


def test_o5_ready_must_be_the_truth() -> None:
    history = good().tell(told(make.model_object("two"), ready=True)).history
    assert expectations.what_is_not_right(history) == ["TrainedModel two says Ready=True, and is not placed"]


def test_o6_a_write_after_everything_was_right_is_seen() -> None:
    history = good().places("one").history
    assert expectations.writes_after(history, since=4.0) == [
        "ConfigMap modelconfig-triton-mms-0 was written again, revision 5"
    ]


def test_o6_an_event_of_ours_is_a_write_and_one_of_the_schedulers_is_not() -> None:
    event = {"kind": "Event", "metadata": {"name": "one.1"}, "involvedObject": {"kind": "Pod", "name": "one"}}
    assert (
        expectations.writes_after(good().tell(event | {"source": {"component": "scheduler"}}).history, since=4.0) == []
    )
    assert expectations.writes_after(good().tell(event | {"reportingComponent": "manyserve"}).history, since=4.0) == [
        "Event one.1 was written again, revision 5"
    ]


def test_o7_a_strangers_object_that_was_touched_is_seen() -> None:
    stranger = {"kind": "Service", "metadata": {"name": "triton-mms", "labels": {expectations.STRANGER: "yes"}}}
    assert expectations.strangers_are_left_alone(good().tell(stranger).history) == []
    history = good().tell(stranger).tell(stranger).history
    assert expectations.strangers_are_left_alone(history) == ["Service triton-mms is a stranger's, and has 2 revisions"]


def test_a_flood_of_events_is_seen() -> None:
    story = good()
    for number in range(expectations.MOST_EVENTS + 1):
        about = {"kind": "TrainedModel", "name": "one"}
        event = {"kind": "Event", "involvedObject": about, "reportingComponent": "manyserve"}
        story.tell(event | {"metadata": {"name": f"one.{number}"}})
    assert expectations.events_are_few(story.history) == ["TrainedModel one has 26 Events"]
