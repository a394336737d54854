"""Scaling modes: the owner of the replicas, and the number that a fixed host has."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api import names
from manyserve.plan.children.deployment import build_autoscaler, build_deployment
from manyserve.plan.children.pod_template import NO_SOURCES
from manyserve.plan.children.replicas import becomes_owned, recorded, without_our_replicas
from manyserve.plan.observed import Manifest
from tests.support import make

CLASS = "serving.kserve.io/autoscalerClass"


def deployment_of(
    current: Manifest | None = None, autoscaler_class: str | None = None, others: tuple[str, ...] = (), **predictor: Any
) -> Manifest:
    annotations = {CLASS: autoscaler_class} if autoscaler_class else {}
    return build_deployment(
        make.labelled_host({}, annotations, **predictor), make.config(), current, autoscalers=others
    )


def stored(record: str | None, replicas: int) -> Manifest:
    annotations = {names.REPLICAS: record} if record is not None else {}
    return {"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}}


def outcome(deployment: Manifest) -> tuple[int | None, str]:
    return deployment["spec"].get("replicas"), deployment["metadata"]["annotations"][names.REPLICAS]


@pytest.mark.parametrize(
    ("record", "replicas", "least", "expected"),
    [
        ("fixed/1", 1, 1, (1, "fixed/1")),
        ("fixed/1", 3, 1, (1, "fixed/1")),
        ("fixed/2", 0, 2, (2, "fixed/2")),
        ("fixed/3", 3, 1, (1, "fixed/1")),
        ("autoscaled/1", 3, 1, (3, "fixed/1/3")),
        ("external/1", 3, 1, (3, "fixed/1/3")),
        ("none/1", 3, 1, (3, "fixed/1/3")),
        ("external/2", 1, 2, (2, "fixed/2")),
        ("autoscaled/1", 3, 2, (2, "fixed/2")),
        ("fixed/1/3", 3, 1, (3, "fixed/1/3")),
        ("fixed/1/3", 4, 1, (3, "fixed/1/3")),
        ("fixed/1/3", 2, 1, (2, "fixed/1/2")),
        ("fixed/1/3", 1, 1, (1, "fixed/1")),
        ("fixed/1/3", 0, 1, (1, "fixed/1")),
        ("fixed/1/3", 3, 2, (2, "fixed/2")),
        (None, 1, 1, (1, "fixed/1")),
        (None, 3, 1, (3, "fixed/1/3")),
        ("nonsense", 3, 1, (3, "fixed/1/3")),
    ],
    ids=str,
)
def test_fixed_host_keeps_pods_of_another_owner_but_no_number_by_hand(
    record: str | None, replicas: int, least: int, expected: tuple[int, str]
) -> None:
    assert outcome(deployment_of(stored(record, replicas), minReplicas=least)) == expected


@pytest.mark.parametrize("current", [None, stored("fixed/2", 3)], ids=["created", "exists"])
def test_replicas_are_set_at_creation_only_when_somebody_else_owns_them(current: Manifest | None) -> None:
    number = 2 if current is None else None
    for autoscaler_class in ("external", "none"):
        assert outcome(deployment_of(current, autoscaler_class, minReplicas=2, maxReplicas=5)) == (
            number,
            f"{autoscaler_class}/2",
        )
    assert outcome(deployment_of(current, None, ("keda",), minReplicas=2)) == (number, "external/2")
    assert outcome(deployment_of(current, "hpa", minReplicas=2, maxReplicas=5)) == (None, "autoscaled/2")


SCALED: dict[str, Any] = {"minReplicas": 2, "maxReplicas": 5, "scaleMetric": "rps"}


@pytest.mark.parametrize(
    ("record", "replicas", "decided", "expected"),
    [
        (None, None, None, 2),
        (None, None, 4, 4),
        ("traffic/2", 3, None, 3),
        ("traffic/2", 3, 4, 4),
        ("traffic/2", 7, 4, 4),
        ("traffic/2", 3, 9, 5),
        ("traffic/2", 0, None, 2),
        ("fixed/2", 4, None, 4),
        ("autoscaled/2", 4, None, 4),
        ("external/1", 1, None, 2),
    ],
)
def test_replicas_by_traffic_are_the_decided_ones_or_those_that_run(
    record: str | None, replicas: int | None, decided: int | None, expected: int
) -> None:
    current = stored(record, replicas) if replicas is not None else None
    host = make.host(**SCALED)
    deployment = build_deployment(host, make.config(), current, decided=decided)
    assert outcome(deployment) == (expected, "traffic/2")
    assert build_autoscaler(host) is None


def test_replicas_by_traffic_are_left_to_an_autoscaler_of_a_user() -> None:
    deployment = build_deployment(make.host(**SCALED), make.config(), stored("traffic/2", 3), NO_SOURCES, ["keda"], 4)
    assert outcome(deployment) == (None, "external/2")


def test_host_that_becomes_fixed_keeps_the_replicas_of_its_traffic() -> None:
    assert outcome(deployment_of(stored("traffic/1", 4))) == (4, "fixed/1/4")


def test_own_autoscaler_exists_only_in_the_mode_autoscaled() -> None:
    def has_autoscaler(autoscaler_class: str, *others: str, **predictor: Any) -> bool:
        host = make.labelled_host({}, {CLASS: autoscaler_class}, **predictor)
        return build_autoscaler(host, others) is not None

    scaled = {"minReplicas": 1, "maxReplicas": 3}
    assert has_autoscaler("hpa", **scaled)
    assert not has_autoscaler("hpa", minReplicas=3)
    assert not has_autoscaler("external", **scaled)
    assert not has_autoscaler("none", **scaled)
    assert not has_autoscaler("hpa", "keda", **scaled)


def test_becoming_owner_of_the_replicas_is_noticed_once() -> None:
    for record, expected in (("autoscaled/1", True), (None, True), ("fixed/1", False), ("traffic/1", False)):
        assert becomes_owned(deployment_of(), stored(record, 3)) is expected
    assert not becomes_owned(deployment_of(stored("fixed/1", 1), "external"), stored("fixed/1", 1))


@pytest.mark.parametrize("text", ["", "fixed", "fixed/x", "manual/1", "fixed/1/", "fixed/99999", "fixed/1/2/3"])
def test_invalid_record_is_none(text: str) -> None:
    assert recorded(stored(text, 1)) is None


def test_released_fields_are_those_of_our_apply_only() -> None:
    replicas: Manifest = {"f:spec": {"f:replicas": {}, "f:paused": {}}}
    ours = {"manager": names.MANAGER, "operation": "Apply", "fieldsV1": replicas}
    others = [
        {"manager": "keda", "operation": "Update", "subresource": "scale", "fieldsV1": replicas},
        {"manager": names.MANAGER, "operation": "Apply", "fieldsV1": {"f:metadata": {}}},
    ]
    assert without_our_replicas([ours, *others]) == [ours | {"fieldsV1": {"f:spec": {"f:paused": {}}}}, *others]
