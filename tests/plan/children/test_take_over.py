"""Take-over of another controller's objects: the time, the objects, and the host's status."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.api import names
from manyserve.api.conditions import INGRESS_READY, PREDICTOR_READY, find
from manyserve.plan.actions import Plan
from manyserve.plan.children import take_over
from manyserve.plan.children.routing import build_service
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.plan import plan
from tests.support import kserve_children as kserve
from tests.support import make

HOST = make.host()
SERVICE, INGRESS = Child("Service", "triton-mms"), Child("Ingress", "triton-mms")
PENDING = "Service triton-mms belongs to another controller until the Deployment is ready"


def observed(deployment: Manifest | None = None, **fields: Any) -> Observed:
    children = {Child("Deployment", names.deployment("triton-mms")): deployment} if deployment else {}
    key = names.Key("default", "triton-mms")
    return Observed(key=key, config=make.config(), host=HOST, children=children, **fields)


def test_take_over_defers_an_http_route() -> None:
    gateway = make.config(ingress={"ingressDomain": "example.com", "gateway": "infra/gateway"})
    waiting = replace(observed(foreign=frozenset((Child("HTTPRoute", "triton-mms"),))), config=gateway)
    result = plan(waiting, make.NOW)
    assert applied(result)["HTTPRoute"] is False
    assert "HTTPRoute triton-mms belongs to another controller until the Deployment is ready" in str(result.statuses)


def applied(result: Plan) -> dict[str, bool]:
    return {each.manifest["kind"]: each.take_over for each in result.applies}


def deployment_of(result: Plan, *, available: bool, replicas: int = 1) -> Manifest:
    (manifest,) = [each.manifest for each in result.applies if each.manifest["kind"] == "Deployment"]
    status = {"conditions": [{"type": "Available", "status": "True" if available else "False"}]}
    spec = manifest["spec"] | {"replicas": replicas}
    return {**manifest, "spec": spec, "status": status, "metadata": manifest["metadata"] | {"uid": "uid-of-deployment"}}


@pytest.mark.parametrize(("available", "replicas"), [(False, 1), (True, 0), (True, 1)])
def test_take_over_starts_with_an_available_deployment_that_has_replicas(available: bool, replicas: int) -> None:
    first = plan(observed(), make.NOW)
    assert applied(first)["Service"] is applied(first)["Ingress"] is False, "there is no Deployment yet"
    assert applied(first)["Deployment"]
    deployment = deployment_of(first, available=available, replicas=replicas)
    result = applied(plan(observed(deployment), make.NOW))
    assert result["Service"] is result["Ingress"] is (available and replicas > 0)


def test_status_names_the_first_child_that_take_over_defers() -> None:
    deployment = deployment_of(plan(observed(), make.NOW), available=False)
    result = plan(observed(deployment, foreign=frozenset((SERVICE, INGRESS))), make.NOW)
    (write,) = [each for each in result.statuses if each.kind == "InferenceService"]
    status = HOST.status.from_wire(write.after.to_wire())
    predictor, ingress = find(status.conditions, PREDICTOR_READY), find(status.conditions, INGRESS_READY)
    assert predictor is not None
    assert predictor.reason == "MinimumReplicasUnavailable"
    assert (predictor.message or "").endswith(f"0 of 1 replicas are ready; {PENDING}")
    assert ingress is not None
    assert ingress.message == "Ingress triton-mms belongs to another controller until the Deployment is ready"


def test_is_foreign_accepts_our_object_without_its_label() -> None:
    ours = build_service(HOST)
    assert not take_over.is_foreign(ours)
    bare = {"metadata": {"labels": {}, "annotations": {names.APPLIED_HASH: "0"}}}
    assert not take_over.is_foreign(bare)
    assert take_over.is_foreign(kserve.service(make.host_object()))
    assert take_over.is_foreign({"metadata": {"labels": {names.MANAGED_BY: "Helm"}}})


def test_pre_apply_patch_replaces_ports_and_selector_of_a_service() -> None:
    other = kserve.service(make.host_object(), "triton-mms")
    other["metadata"]["resourceVersion"] = "7"
    patch = take_over.pre_apply_patch(other, build_service(HOST))
    assert patch is not None
    assert patch["metadata"] == {"resourceVersion": "7"}
    assert patch["spec"]["selector"] == {"app": None} | names.selector("triton-mms")
    assert [each["port"] for each in patch["spec"]["ports"]] == [80, names.GRPC_PORT]
    assert "type" not in patch["spec"], "a LoadBalancer stays one"
    assert take_over.pre_apply_patch(other, {"kind": "Ingress"}) is None


def test_status_omits_a_child_after_its_take_over() -> None:
    deployment = deployment_of(plan(observed(), make.NOW), available=True)
    waiting = observed(deployment, foreign=frozenset((SERVICE,)))
    assert PENDING in str(plan(waiting, make.NOW).statuses)
    assert PENDING not in str(plan(replace(waiting, foreign=frozenset()), make.NOW).statuses)
