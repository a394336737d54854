"""Nothing is done from a picture that is older than the one that `models.json` was written from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manyserve.api import names
from manyserve.api.names import Key
from manyserve.plan.observed import Child, Manifest, Observed, Reach, Sight
from manyserve.plan.plan import plan
from tests.support import make, world

CONFIG = Child("ConfigMap", names.model_config("triton-mms"))
START = Observed(
    key=Key("default", "triton-mms"),
    config=make.config(),
    service=make.host(),
    models=(make.model("cifar10"), make.model("late")),
    pods=(make.pod(),),
)


def planned_from(note: str | None, *, version: str = "500") -> Observed:
    """Return a settled picture whose `models.json` carries this note."""
    settled = world.settle(START)
    config: Manifest = settled.children[CONFIG]
    annotations = {} if note is None else {names.PLANNED_FROM: note}
    metadata = config["metadata"] | {"annotations": annotations, "resourceVersion": version}
    return replace(settled, children={**settled.children, CONFIG: config | {"metadata": metadata}})


def without_the_late_one(picture: Observed, sight: Sight) -> Observed:
    return replace(picture, models=picture.models[:1], sight=sight)


def test_what_was_seen_is_noted_and_is_no_reason_to_write() -> None:
    todo = plan(replace(START, sight=Sight(hosts=Reach(480, 450), models=Reach(480, 470))), make.NOW)
    assert todo.config is not None
    assert todo.config.manifest["metadata"]["annotations"] == {names.PLANNED_FROM: "450/470"}
    settled = world.settle(replace(START, sight=Sight(hosts=Reach(480, 450), models=Reach(480, 470))))
    assert plan(replace(settled, sight=Sight(Reach(600, 590), Reach(600, 590))), make.NOW).empty


def test_a_model_that_an_older_list_does_not_have_stays_placed() -> None:
    old = without_the_late_one(planned_from("450/470"), Sight(Reach(450), Reach(300, 290)))
    todo = plan(old, make.NOW)
    assert todo.empty
    assert todo.look_again_after is not None
    caught_up = plan(replace(old, sight=Sight(Reach(450), Reach(470, 290))), make.NOW)
    assert caught_up.config is not None, "it is gone indeed"


def test_nothing_is_done_for_a_host_as_it_was_before_its_change() -> None:
    assert plan(without_the_late_one(planned_from("450/470"), Sight(Reach(449), Reach(600))), make.NOW).empty


@pytest.mark.parametrize(
    "note", [None, "", "470", "1/", "-1/470", "1/501", "1/9999999999999999999999", "\u0661/\u0662"]
)
def test_a_note_that_cannot_be_holds_nobody_up(note: str | None) -> None:
    old = without_the_late_one(planned_from(note), Sight(Reach(300), Reach(300)))
    assert plan(old, make.NOW).config is not None
