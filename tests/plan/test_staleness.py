"""Staleness: the plan of a snapshot that is older than the one of `models.json` is empty."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manyserve.api import names
from manyserve.api.names import Key
from manyserve.plan.observed import CacheVersion, CacheVersions, Child, Manifest, Observed
from manyserve.plan.plan import plan
from tests.support import make, world

CONFIG = Child("ConfigMap", names.model_config("triton-mms"))
START = Observed(
    key=Key("default", "triton-mms"),
    config=make.config(),
    host=make.host(),
    models=(make.model("cifar10"), make.model("late")),
    pods=(make.pod(),),
)


def planned_from(annotation: str | None, *, version: str = "500") -> Observed:
    """Return a settled snapshot with this annotation of `models.json`."""
    settled = world.settle(START)
    config: Manifest = settled.children[CONFIG]
    annotations = {} if annotation is None else {names.PLANNED_FROM: annotation}
    metadata = config["metadata"] | {"annotations": annotations, "resourceVersion": version}
    return replace(settled, children={**settled.children, CONFIG: config | {"metadata": metadata}})


def without_late_model(snapshot: Observed, versions: CacheVersions) -> Observed:
    return replace(snapshot, models=snapshot.models[:1], cache_versions=versions)


def test_planned_from_annotation_is_written_without_causing_a_write() -> None:
    todo = plan(
        replace(START, cache_versions=CacheVersions(hosts=CacheVersion(480, 450), models=CacheVersion(480, 470))),
        make.NOW,
    )
    assert todo.configs
    assert todo.configs[0].manifest["metadata"]["annotations"] == {names.PLANNED_FROM: "450/470"}
    settled = world.settle(
        replace(START, cache_versions=CacheVersions(hosts=CacheVersion(480, 450), models=CacheVersion(480, 470)))
    )
    assert plan(
        replace(settled, cache_versions=CacheVersions(CacheVersion(600, 590), CacheVersion(600, 590))), make.NOW
    ).empty


def test_stale_snapshot_without_a_model_keeps_it_placed() -> None:
    old = without_late_model(planned_from("450/470"), CacheVersions(CacheVersion(450), CacheVersion(300, 290)))
    todo = plan(old, make.NOW)
    assert todo.empty
    assert todo.requeue_after is not None
    caught_up = plan(replace(old, cache_versions=CacheVersions(CacheVersion(450), CacheVersion(470, 290))), make.NOW)
    assert caught_up.configs, "the model was deleted"


def test_stale_snapshot_of_a_host_leads_to_an_empty_plan() -> None:
    assert plan(
        without_late_model(planned_from("450/470"), CacheVersions(CacheVersion(449), CacheVersion(600))), make.NOW
    ).empty


@pytest.mark.parametrize(
    "annotation", [None, "", "470", "1/", "-1/470", "1/501", "1/9999999999999999999999", "\u0661/\u0662"]
)
def test_impossible_planned_from_annotation_is_ignored(annotation: str | None) -> None:
    old = without_late_model(planned_from(annotation), CacheVersions(CacheVersion(300), CacheVersion(300)))
    assert plan(old, make.NOW).configs
