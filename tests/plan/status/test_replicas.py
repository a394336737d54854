"""Owners of the replicas in the condition of a host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from manyserve.api import conditions, names
from manyserve.api.conditions import Condition
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from tests.plan.test_plan import seen
from tests.support import make, world

DEPLOYMENT = Child("Deployment", "triton-mms-predictor-default")
CLASS = "serving.kserve.io/autoscalerClass"
FIELDS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}


def settled(autoscaler_class: str | None = None, **fields: Any) -> Observed:
    annotations = {CLASS: autoscaler_class} if autoscaler_class else {}
    return world.settle(seen(host=make.labelled_host({}, annotations), **fields))


def managed_by(observed: Observed, *managers: str, replicas: int = 1) -> Observed:
    stored = observed.children[DEPLOYMENT]
    entries = [{"manager": each, "fieldsV1": FIELDS} for each in managers]
    edited = stored | {
        "metadata": stored["metadata"] | {"managedFields": entries},
        "spec": stored["spec"] | {"replicas": replicas},
    }
    return replace(observed, children={**observed.children, DEPLOYMENT: edited})


def conditions_of(observed: Observed) -> tuple[Condition, Condition]:
    after = world.carry_out(observed, replace(plan(observed, make.NOW), applies=())).host
    assert after
    predictor = conditions.find(after.status.conditions, conditions.PREDICTOR_READY)
    ready = conditions.find(after.status.conditions, conditions.READY)
    assert predictor
    assert ready
    return predictor, ready


def test_manager_of_an_external_host_is_named_without_a_reason_of_ready() -> None:
    for autoscaler_class in ("external", "none"):
        observed = managed_by(settled(autoscaler_class), "keda", "kubectl", names.MANAGER, "kube-controller-manager")
        predictor, ready = conditions_of(observed)
        assert (predictor.status, predictor.reason) == ("True", "ReplicasManaged")
        assert predictor.message == "replicas are set by keda, kubectl"
        assert (ready.status, ready.reason, ready.message) == ("True", None, None)


def test_external_host_without_another_manager_has_no_reason() -> None:
    assert conditions_of(settled("external"))[0].reason is None
    assert conditions_of(managed_by(settled(), "kubectl"))[0].reason is None, "a number by hand is put back"


def test_autoscaler_of_another_is_named_with_the_annotation_that_agrees() -> None:
    predictor, ready = conditions_of(settled(autoscalers=("keda-hpa", "mine")))
    assert predictor.reason == "OtherAutoscaler"
    assert predictor.message == (
        "replicas are set by HorizontalPodAutoscaler keda-hpa, HorizontalPodAutoscaler mine, and minReplicas and "
        f"maxReplicas have no effect; the annotation {CLASS}: external makes that permanent"
    )
    assert ready.message == predictor.message


def test_kept_replicas_are_reported() -> None:
    before = managed_by(settled("external"), replicas=3)
    host = make.host().model_copy(update={"status": before.host.status if before.host else None})
    kept = world.settle(replace(before, host=host))
    assert kept.children[DEPLOYMENT]["spec"]["replicas"] == 3
    assert plan(kept, make.NOW).empty
    predictor, ready = conditions_of(kept)
    assert predictor.reason == "ReplicasKept"
    assert ready.message == (
        "3 replicas run on since the host was scaled by another owner; minReplicas is 1, and kubectl scale removes the "
        "others"
    )


def test_external_host_at_zero_replicas_names_the_manager() -> None:
    predictor, ready = conditions_of(managed_by(settled("external"), "keda", replicas=0))
    assert (predictor.status, predictor.reason) == ("False", "ScaledToZero")
    assert ready.message == "the Deployment is scaled to 0 replicas by keda"
