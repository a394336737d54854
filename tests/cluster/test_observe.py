"""What is known is sorted by host, one change at a time, and nothing is known of what does not parse."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import HOST_LABEL, Key
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from manyserve.cluster.surroundings import required_lookups
from manyserve.plan.observed import Child
from tests.support import make

HOST = Key("default", "triton-mms")


@pytest.fixture
def known() -> ClusterState:
    known = ClusterState(lambda _key: None)
    known.config = make.config()
    return known


def child(kind: str, name: str, host: str = "triton-mms") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "default", "labels": {HOST_LABEL: host}}}


def test_a_picture_has_what_belongs_to_its_host_and_nothing_else(known: ClusterState) -> None:
    known.update_host(None, make.host_object())
    for model in (make.model_object("a"), make.model_object("b"), make.model_object("c", host="other")):
        known.update_model(None, model)
    known.update_child(None, child("Deployment", "triton-mms-predictor-default"))
    known.update_child(None, child("Service", "other", host="other"))
    known.update_pod(None, make.pod())
    known.reports["uid-pod-1"] = make.report()
    known.reports["uid-of-another-pod"] = make.report()
    seen = observe(known, HOST)
    assert seen is not None
    assert seen.host is not None
    assert [each.metadata.name for each in seen.models] == ["a", "b"]
    assert set(seen.children) == {Child("Deployment", "triton-mms-predictor-default")}
    assert len(seen.pods) == 1
    assert set(seen.agents) == {"uid-pod-1"}


def test_a_model_that_moves_leaves_the_old_host_and_touches_both() -> None:
    touched: list[Key] = []
    known = ClusterState(touched.append)
    known.config = make.config()
    old, new = make.model_object("a", host="one"), make.model_object("a", host="two")
    known.update_model(None, old)
    known.update_model(old, new)
    known.changed(old, new, lambda each: Key("default", each["spec"]["inferenceService"]))
    assert set(touched) == {Key("default", "one"), Key("default", "two")}
    assert set(known.models) == {Key("default", "two")}


def test_what_is_deleted_is_gone(known: ClusterState) -> None:
    for stored, manifest in (
        (known.update_host, make.host_object()),
        (known.update_model, make.model_object()),
        (known.update_child, child("Service", "triton-mms")),
        (known.update_pod, make.pod()),
    ):
        stored(None, manifest)
        stored(manifest, None)
    seen = observe(known, HOST)
    assert seen is not None
    assert (seen.host, seen.models, seen.children, seen.pods) == (None, (), {}, ())
    assert not known.models, "a host that nothing names leaves nothing behind"


def test_a_model_that_does_not_parse_is_skipped_and_said(known: ClusterState, caplog: pytest.LogCaptureFixture) -> None:
    broken = make.model_object()
    broken["spec"]["model"] = "what?"
    known.update_model(None, broken)
    known.update_model(None, make.model_object("fine"))
    seen = observe(known, HOST)
    assert seen is not None
    assert [each.metadata.name for each in seen.models] == ["fine"]
    assert "default/cifar10 cannot be read and is left alone: spec.model" in caplog.text


def test_a_host_that_does_not_parse_is_left_as_it_is(known: ClusterState) -> None:
    broken = make.host_object()
    broken["spec"]["predictor"] = "what?"
    known.update_host(None, broken)
    assert observe(known, HOST) is None
    known.update_host(broken, make.host_object())
    assert observe(known, HOST) is not None


def test_without_a_configuration_there_is_no_picture(known: ClusterState) -> None:
    known.config = None
    assert observe(known, HOST) is None


def test_a_picture_does_not_change_when_more_becomes_known(known: ClusterState) -> None:
    known.update_host(None, make.host_object())
    seen = observe(known, HOST)
    known.update_model(None, make.model_object())
    known.update_child(None, child("Service", "triton-mms"))
    assert seen is not None
    assert (seen.models, seen.children) == ((), {})


def test_what_claims_models_are_at_is_known_without_asking_each(known: ClusterState) -> None:
    known.update_host(None, make.host_object())
    here, there = make.model_object(uri="pvc://here/cifar10"), make.model_object(uri="pvc://there/cifar10")
    known.update_model(None, here)
    assert {name.key.name for name in required_lookups(known, HOST)} == {"here"}
    known.update_model(here, there)
    assert {name.key.name for name in required_lookups(known, HOST)} == {"there"}
    known.update_model(there, None)
    assert required_lookups(known, HOST) == frozenset()
    assert not known.claims
