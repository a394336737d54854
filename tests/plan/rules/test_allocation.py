"""Rules for the allocation of hosts, and for the copies of models."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.plan.placement import entry_of
from manyserve.plan.rules import allocation
from manyserve.plan.rules.ignored import ignored_fields
from manyserve.plan.rules.validation import host_problems, model_problems
from tests.plan.rules.paths import sentences
from tests.support import make
from tests.support.placed import place_on_one

RANGE = "must be from 1 to"
COPIES: dict[str, tuple[dict[str, Any], str]] = {
    "on demand": (
        {"minReplicas": 0},
        f"spec.minReplicas: 0 is not supported yet: a model has at least 1 copy; it {RANGE} 1000",
    ),
    "negative": ({"minReplicas": -1}, f"spec.minReplicas: -1 is not allowed; it {RANGE} 1000"),
    "too many": ({"maxReplicas": 1001}, f"spec.maxReplicas: 1001 is not allowed; it {RANGE} 1000"),
    "no range": (
        {"minReplicas": 3, "maxReplicas": 2},
        "spec.maxReplicas: maxReplicas is 2, minReplicas 3; "
        "maxReplicas must not be below minReplicas (which is 1 when unset)",
    ),
    "metric": ({"scaleMetric": "cpu"}, "spec.scaleMetric: 'cpu' is not supported; it must be concurrency or rps"),
    "target": ({"scaleTarget": 0}, f"spec.scaleTarget: 0 is not allowed; it {RANGE} 100000"),
}


@pytest.fixture
def heterogeneous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))


def model(**fields: Any) -> make.Manifest:
    raw = make.model_object()
    return raw | {"spec": raw["spec"] | fields}


def test_host_rules_refuse_heterogeneous_allocation_until_it_is_served() -> None:
    assert host_problems(make.host_object(allocation=HOMOGENEOUS)) == []
    assert sentences(host_problems(make.host_object(allocation=HETEROGENEOUS))) == [
        "spec.predictor.allocation: allocation Heterogeneous is not supported yet"
    ]


def test_host_rules_refuse_unknown_allocation() -> None:
    assert sentences(host_problems(make.host_object(allocation="Mixed"))) == [
        "spec.predictor.allocation: 'Mixed' is not allowed; it must be Homogeneous or Heterogeneous"
    ]


@pytest.mark.usefixtures("heterogeneous")
def test_host_rules_accept_metrics_of_traffic_only_on_heterogeneous_host() -> None:
    assert host_problems(make.host_object(allocation=HETEROGENEOUS, scaleMetric="rps", scaleTarget=50)) == []
    assert sentences(host_problems(make.host_object(allocation=HETEROGENEOUS, scaleMetric="cpu"))) == [
        "spec.predictor.scaleMetric: 'cpu' is not supported; it must be concurrency or rps"
    ]


@pytest.mark.parametrize("metric", ["cpu", "memory", "concurrency", "rps"])
def test_host_rules_accept_metrics_of_homogeneous_host(metric: str) -> None:
    assert host_problems(make.host_object(scaleMetric=metric, maxReplicas=2)) == []


@pytest.mark.parametrize(("protocol", "refused"), [("v1", True), ("v2", False)])
def test_host_rules_refuse_metric_of_traffic_for_server_without_counters(protocol: str, refused: bool) -> None:
    sentence = (
        "spec.predictor.scaleMetric: 'rps' needs counters of requests, and a server with the protocol v1 has none; it "
        "must be cpu or memory"
    )
    sklearn: dict[str, Any] = {"triton": None, "sklearn": {"protocolVersion": protocol, "image": "server:1"}}
    host = make.host_object(scaleMetric="rps", maxReplicas=2, **sklearn)
    assert sentences(host_problems(host)) == ([sentence] if refused else [])


def test_host_rules_refuse_overcommit() -> None:
    assert sentences(host_problems(make.host_object(overcommit=200))) == [
        "spec.predictor.overcommit: overcommit is not supported yet"
    ]


@pytest.mark.parametrize(("fields", "sentence"), COPIES.values(), ids=COPIES)
def test_model_rules_refuse_copies(fields: dict[str, Any], sentence: str) -> None:
    assert sentences(model_problems(model(**fields))) == [sentence]


def test_model_rules_accept_copies() -> None:
    assert model_problems(model(minReplicas=2, maxReplicas=5, scaleMetric="concurrency", scaleTarget=4)) == []


def test_placement_refuses_new_model_with_copies_on_homogeneous_host() -> None:
    copies = make.model("cifar10").from_wire(model(minReplicas=2))
    placement = place_on_one(make.host(), [copies], (), make.config())
    assert placement.invalid["cifar10"] == (
        "spec.minReplicas: is for hosts with allocation Heterogeneous, and triton-mms is Homogeneous: each of its pods "
        "has all models; it must be left out"
    )
    assert set(place_on_one(make.host(), [copies], [entry_of(copies)], make.config()).placed) == {"cifar10"}


def test_copies_above_the_pods_of_the_host_have_a_sentence() -> None:
    copies = make.model().from_wire(model(minReplicas=2, maxReplicas=5))
    assert allocation.copies_above_host(make.host(allocation=HETEROGENEOUS, maxReplicas=5), copies) is None
    assert allocation.copies_above_host(make.host(allocation=HETEROGENEOUS, maxReplicas=3), copies) == (
        "cifar10 may have 5 copies, and triton-mms has 3 pods at most: it gets 3 copies at most; raise "
        "spec.predictor.maxReplicas of triton-mms for more"
    )


def test_autoscaler_class_has_no_effect_on_heterogeneous_host() -> None:
    raw = make.labelled({}, {"serving.kserve.io/autoscalerClass": "external"}, allocation=HETEROGENEOUS, scaleTarget=2)
    host = make.host().from_wire(raw)
    assert [each.partition(" has")[0] for each in ignored_fields(host)] == ["metadata.annotations[*/autoscalerClass]"]
