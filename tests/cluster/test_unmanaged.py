"""Cache of unmanaged objects: apart from hosts and models, counted by reason, updated by changes."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from manyserve.plan.management import HOST_REASONS, MODEL_REASONS
from tests.support import make
from tests.support.kserve_forms import FORMS, MODE, MODEL_FINALIZER

HOST = Key("default", "triton-mms")
Manifest = dict[str, Any]


@pytest.fixture
def state() -> ClusterState:
    state = ClusterState(lambda _key: None)
    state.config = make.config()
    return state


def unmanaged_host() -> Manifest:
    host = make.host_object()
    return host | {"metadata": host["metadata"] | {"annotations": MODE}}


def unmanaged_model(name: str = "cifar10", host: str = "triton-mms") -> Manifest:
    model = make.model_object(name, host=host)
    return model | {"metadata": model["metadata"] | {"finalizers": [MODEL_FINALIZER]}}


def test_unmanaged_forms_of_kserve_are_counted_by_reason(state: ClusterState) -> None:
    for form in FORMS:
        manifest = form.copy(form.name, namespace="default", uid=form.name)
        (state.update_host if form.kind == "InferenceService" else state.update_model)(None, manifest)
    assert (state.hosts, dict(state.models), state.unparsable, dict(state.unparsable_models)) == ({}, {}, set(), {})
    for kind, reasons in (("InferenceService", HOST_REASONS), ("TrainedModel", MODEL_REASONS)):
        for reason in reasons:
            expected = sum((form.kind, form.reason) == (kind, reason) for form in FORMS)
            assert state.unmanaged.count(kind, reason) == expected, (kind, reason)


def test_unmanaged_host_has_its_reason_and_its_managed_models(state: ClusterState) -> None:
    state.update_host(None, unmanaged_host())
    state.update_model(None, make.model_object("own"))
    state.update_model(None, unmanaged_model("kserves"))
    snapshot = observe(state, HOST)
    assert snapshot
    assert snapshot.unmanaged
    assert (snapshot.host, snapshot.unmanaged.uid, snapshot.unmanaged.why.reason) == (
        None,
        "uid-triton-mms",
        "KServeDeploymentMode",
    )
    assert [each.metadata.name for each in snapshot.models] == ["own"]
    assert snapshot.unparsable == {"kserves"}


def test_unmanaged_host_becomes_managed_again(state: ClusterState) -> None:
    state.update_host(None, make.host_object())
    state.update_host(make.host_object(), unmanaged_host())
    assert (set(state.hosts), set(state.unmanaged.hosts)) == (set(), {HOST})
    state.update_host(unmanaged_host(), make.host_object())
    assert (set(state.hosts), set(state.unmanaged.hosts)) == ({HOST}, set())


def test_unmanaged_host_has_no_failures(state: ClusterState) -> None:
    state.failures[HOST] = {}
    state.update_host(make.host_object(), unmanaged_host())
    assert state.failures == {}


def test_unmanaged_host_that_is_deleted_leaves_no_entry(state: ClusterState) -> None:
    state.update_host(None, unmanaged_host())
    state.unmanaged.announced.add("uid-triton-mms")
    state.update_host(unmanaged_host(), None)
    assert (state.unmanaged.hosts, state.unmanaged.announced) == ({}, set())


def test_unmanaged_host_need_not_parse(state: ClusterState) -> None:
    broken = unmanaged_host()
    broken["spec"]["predictor"] = {"triton": "what?"}
    state.update_host(None, broken)
    assert (state.unparsable, set(state.unmanaged.hosts)) == (set(), {HOST})


def test_unmanaged_model_follows_the_finalizer_of_kserve(state: ClusterState) -> None:
    state.update_model(None, make.model_object())
    state.update_model(make.model_object(), unmanaged_model())
    assert (dict(state.models), set(state.unmanaged.models[HOST])) == ({}, {"cifar10"})
    state.update_model(unmanaged_model(), make.model_object())
    assert (set(state.models[HOST]), dict(state.unmanaged.models)) == ({"cifar10"}, {})


def test_unmanaged_model_moves_and_is_deleted(state: ClusterState) -> None:
    state.update_model(None, unmanaged_model())
    state.update_model(unmanaged_model(), unmanaged_model(host="other"))
    assert set(state.unmanaged.models) == {Key("default", "other")}
    state.update_model(unmanaged_model(host="other"), None)
    assert dict(state.unmanaged.models) == {}


def test_unmanaged_host_without_models_is_enqueued_with_all_others() -> None:
    enqueued: list[Key] = []
    state = ClusterState(enqueued.append)
    state.update_host(None, unmanaged_host())
    state.enqueue_all()
    assert enqueued == [HOST]


@pytest.mark.parametrize("spec", [None, "x", [], {"inferenceService": {}}, {"inferenceService": None}], ids=str)
def test_cluster_state_accepts_a_model_with_any_shape_of_spec(state: ClusterState, spec: Any) -> None:
    for odd in (make.model_object("odd") | {"spec": spec}, unmanaged_model("odd") | {"spec": spec}):
        state.update_model(None, odd)
        state.changed(None, odd, lambda _: HOST)
        state.model_changed(None, odd)
        state.update_model(odd, None)
    assert (dict(state.models), dict(state.unparsable_models), dict(state.unmanaged.models)) == ({}, {}, {})
