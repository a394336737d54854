"""The cache of unmanaged objects: apart from hosts and models, counted by reason, followed when they change."""

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
def known() -> ClusterState:
    known = ClusterState(lambda _key: None)
    known.config = make.config()
    return known


def unmanaged_host() -> Manifest:
    host = make.host_object()
    return host | {"metadata": host["metadata"] | {"annotations": MODE}}


def unmanaged_model(name: str = "cifar10", host: str = "triton-mms") -> Manifest:
    model = make.model_object(name, host=host)
    return model | {"metadata": model["metadata"] | {"finalizers": [MODEL_FINALIZER]}}


def test_the_forms_of_kserve_are_counted_by_reason_and_are_no_hosts_and_no_models(known: ClusterState) -> None:
    for form in FORMS:
        thing = form.copy(form.name, namespace="default", uid=form.name)
        (known.update_host if form.kind == "InferenceService" else known.update_model)(None, thing)
    assert (known.hosts, dict(known.models), known.unparsable, dict(known.unparsable_models)) == ({}, {}, set(), {})
    for kind, reasons in (("InferenceService", HOST_REASONS), ("TrainedModel", MODEL_REASONS)):
        for reason in reasons:
            expected = sum((form.kind, form.reason) == (kind, reason) for form in FORMS)
            assert known.unmanaged.count(kind, reason) == expected, (kind, reason)


def test_an_unmanaged_inferenceservice_is_observed_with_its_reason_and_its_managed_models(known: ClusterState) -> None:
    known.update_host(None, unmanaged_host())
    known.update_model(None, make.model_object("own"))
    known.update_model(None, unmanaged_model("kserves"))
    seen = observe(known, HOST)
    assert seen
    assert seen.unmanaged
    assert (seen.host, seen.unmanaged.uid, seen.unmanaged.why.reason) == (
        None,
        "uid-triton-mms",
        "KServeDeploymentMode",
    )
    assert [each.metadata.name for each in seen.models] == ["own"]
    assert seen.unparsable == {"kserves"}


def test_a_host_becomes_unmanaged_and_managed_again(known: ClusterState) -> None:
    known.update_host(None, make.host_object())
    known.update_host(make.host_object(), unmanaged_host())
    assert (set(known.hosts), set(known.unmanaged.hosts)) == (set(), {HOST})
    known.update_host(unmanaged_host(), make.host_object())
    assert (set(known.hosts), set(known.unmanaged.hosts)) == ({HOST}, set())


def test_a_host_that_becomes_unmanaged_has_no_failures_any_more(known: ClusterState) -> None:
    known.failures[HOST] = {}
    known.update_host(make.host_object(), unmanaged_host())
    assert known.failures == {}


def test_an_unmanaged_inferenceservice_that_is_deleted_leaves_nothing(known: ClusterState) -> None:
    known.update_host(None, unmanaged_host())
    known.unmanaged.announced.add("uid-triton-mms")
    known.update_host(unmanaged_host(), None)
    assert (known.unmanaged.hosts, known.unmanaged.announced) == ({}, set())


def test_a_host_that_does_not_parse_is_unmanaged_before_it_is_unreadable(known: ClusterState) -> None:
    broken = unmanaged_host()
    broken["spec"]["predictor"] = {"triton": "what?"}
    known.update_host(None, broken)
    assert (known.unparsable, set(known.unmanaged.hosts)) == (set(), {HOST})


def test_a_model_that_gets_the_finalizer_of_kserve_and_loses_it_is_followed(known: ClusterState) -> None:
    known.update_model(None, make.model_object())
    known.update_model(make.model_object(), unmanaged_model())
    assert (dict(known.models), set(known.unmanaged.models[HOST])) == ({}, {"cifar10"})
    known.update_model(unmanaged_model(), make.model_object())
    assert (set(known.models[HOST]), dict(known.unmanaged.models)) == ({"cifar10"}, {})


def test_an_unmanaged_model_moves_and_goes(known: ClusterState) -> None:
    known.update_model(None, unmanaged_model())
    known.update_model(unmanaged_model(), unmanaged_model(host="other"))
    assert set(known.unmanaged.models) == {Key("default", "other")}
    known.update_model(unmanaged_model(host="other"), None)
    assert dict(known.unmanaged.models) == {}


def test_an_unmanaged_inferenceservice_without_models_is_reconciled_with_all_others() -> None:
    touched: list[Key] = []
    known = ClusterState(touched.append)
    known.update_host(None, unmanaged_host())
    known.enqueue_all()
    assert touched == [HOST]


@pytest.mark.parametrize("spec", [None, "x", [], {"inferenceService": {}}, {"inferenceService": None}], ids=str)
def test_a_model_with_a_spec_of_an_odd_shape_stops_nothing(known: ClusterState, spec: Any) -> None:
    for odd in (make.model_object("odd") | {"spec": spec}, unmanaged_model("odd") | {"spec": spec}):
        known.update_model(None, odd)
        known.changed(None, odd, lambda _: HOST)
        known.model_changed(None, odd)
        known.update_model(odd, None)
    assert (dict(known.models), dict(known.unparsable_models), dict(known.unmanaged.models)) == ({}, {}, {})
