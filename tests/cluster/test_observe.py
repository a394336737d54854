"""Cluster state: an index by host, updated by one change at a time. Objects that do not parse are skipped."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api import names
from manyserve.api.names import HOST_LABEL, MANAGED_BY, MANAGER, Key
from manyserve.cluster.observe import observe, required_lookups
from manyserve.cluster.state import ClusterState
from manyserve.plan.observed import Child
from tests.support import make, replicas

HOST = Key("default", "triton-mms")


@pytest.fixture
def state() -> ClusterState:
    state = ClusterState(lambda _key: None)
    state.config = make.config()
    return state


def child(kind: str, name: str, host: str = "triton-mms") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "default", "labels": names.labels(host)}}


def test_snapshot_has_the_objects_of_its_host_only(state: ClusterState) -> None:
    state.update_host(None, make.host_object())
    for model in (make.model_object("a"), make.model_object("b"), make.model_object("c", host="other")):
        state.update_model(None, model)
    replicas.add_chain(state)
    state.update_child(None, child("Service", "other", host="other"))
    state.update_pod(None, make.pod())
    state.reports["uid-pod-1"] = make.report()
    state.reports["uid-of-another-pod"] = make.report()
    snapshot = observe(state, HOST)
    assert snapshot is not None
    assert snapshot.host is not None
    assert [each.metadata.name for each in snapshot.models] == ["a", "b"]
    assert set(snapshot.children) == {Child("Deployment", "triton-mms-predictor-default")}
    assert len(snapshot.pods) == 1
    assert set(snapshot.agents) == {"uid-pod-1"}


def test_model_that_moves_leaves_its_old_host_and_enqueues_both() -> None:
    enqueued: list[Key] = []
    state = ClusterState(enqueued.append)
    state.config = make.config()
    old, new = make.model_object("a", host="one"), make.model_object("a", host="two")
    state.update_model(None, old)
    state.update_model(old, new)
    state.changed(old, new, lambda each: Key("default", each["spec"]["inferenceService"]))
    assert set(enqueued) == {Key("default", "one"), Key("default", "two")}
    assert set(state.models) == {Key("default", "two")}


def test_deleted_objects_leave_the_snapshot(state: ClusterState) -> None:
    for stored, manifest in (
        (state.update_host, make.host_object()),
        (state.update_model, make.model_object()),
        (state.update_child, child("Service", "triton-mms")),
        (state.update_pod, make.pod()),
    ):
        stored(None, manifest)
        stored(manifest, None)
    snapshot = observe(state, HOST)
    assert snapshot is not None
    assert (snapshot.host, snapshot.models, snapshot.children, snapshot.pods) == (None, (), {}, ())
    assert not state.models, "a host without objects has no entry"


def test_model_that_does_not_parse_is_skipped_and_logged(state: ClusterState, caplog: pytest.LogCaptureFixture) -> None:
    broken = make.model_object()
    broken["spec"]["model"] = "what?"
    state.update_model(None, broken)
    state.update_model(None, make.model_object("fine"))
    snapshot = observe(state, HOST)
    assert snapshot is not None
    assert [each.metadata.name for each in snapshot.models] == ["fine"]
    assert "default/cifar10 cannot be read and is left alone: spec.model" in caplog.text


def test_host_that_does_not_parse_has_no_snapshot(state: ClusterState) -> None:
    broken = make.host_object()
    broken["spec"]["predictor"] = "what?"
    state.update_host(None, broken)
    assert observe(state, HOST) is None
    state.update_host(broken, make.host_object())
    assert observe(state, HOST) is not None


def test_snapshot_needs_a_configuration(state: ClusterState) -> None:
    state.config = None
    assert observe(state, HOST) is None


def test_snapshot_does_not_change_with_the_state(state: ClusterState) -> None:
    state.update_host(None, make.host_object())
    snapshot = observe(state, HOST)
    state.update_model(None, make.model_object())
    state.update_child(None, child("Service", "triton-mms"))
    assert snapshot is not None
    assert (snapshot.models, snapshot.children) == ((), {})


def test_required_lookups_have_the_claims_of_all_models(state: ClusterState) -> None:
    state.update_host(None, make.host_object())
    first, second = make.model_object(uri="pvc://here/cifar10"), make.model_object(uri="pvc://there/cifar10")
    state.update_model(None, first)
    assert {name.key.name for name in required_lookups(state, HOST)} == {"here"}
    state.update_model(first, second)
    assert {name.key.name for name in required_lookups(state, HOST)} == {"there"}
    state.update_model(second, None)
    assert required_lookups(state, HOST) == frozenset()
    assert not state.claims


def autoscaler(name: str, target: str = "triton-mms-predictor-default", **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "default"} | metadata,
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": target}},
    }


def test_snapshot_has_the_other_autoscalers_that_target_its_deployment(state: ClusterState) -> None:
    state.update_host(None, make.host_object())
    ours = {MANAGED_BY: MANAGER, HOST_LABEL: "triton-mms"}
    kserves = [{"kind": "InferenceService", "name": "triton-mms", "uid": "u"}]
    users = autoscaler("keda")
    for each in (
        users,
        autoscaler("own", labels=ours),
        autoscaler("kserve", ownerReferences=kserves),
        autoscaler("other", target="web"),
        autoscaler("of-another-host", target="other-predictor-default"),
    ):
        state.update_autoscaler(None, each)
    snapshot = observe(state, HOST)
    assert snapshot is not None
    assert snapshot.autoscalers == ("keda",)
    assert set(snapshot.children) == {Child("HorizontalPodAutoscaler", "own")}
    moved = autoscaler("keda", target="web")
    state.update_autoscaler(users, moved)
    assert not state.autoscalers.get(HOST)


def test_other_autoscaler_enqueues_its_host_when_its_target_changes_only() -> None:
    enqueued: list[Key] = []
    state = ClusterState(enqueued.append)
    users, moved = autoscaler("keda"), autoscaler("keda", target="other-predictor-default")
    state.autoscaler_changed(None, users)
    state.autoscaler_changed(users, users | {"status": {"currentReplicas": 2}})
    assert enqueued == [HOST]
    state.autoscaler_changed(users, moved)
    state.autoscaler_changed(moved, None)
    assert enqueued == [HOST, HOST, Key("default", "other"), Key("default", "other")]
    state.autoscaler_changed(None, autoscaler("web", target="web"))
    state.autoscaler_changed(None, autoscaler("own", labels={MANAGED_BY: MANAGER, HOST_LABEL: "triton-mms"}))
    assert enqueued[4:] == [HOST]
