"""Which objects of another controller are taken over, when, and what the status says meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.api import names
from manyserve.api.conditions import INGRESS_READY, PREDICTOR_READY, find
from manyserve.plan.actions import Plan
from manyserve.plan.children import take_over
from manyserve.plan.children.service import build_service
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.plan import plan
from tests.support import kserve_children as kserve
from tests.support import make

HOST = make.host()
SERVICE, INGRESS = Child("Service", "triton-mms"), Child("Ingress", "triton-mms")
NOT_YET = "Service triton-mms is another controller's until the Deployment is ready"


def observed(deployment: Manifest | None = None, **fields: Any) -> Observed:
    children = {Child("Deployment", names.deployment("triton-mms")): deployment} if deployment else {}
    key = names.Key("default", "triton-mms")
    return Observed(key=key, config=make.config(), host=HOST, children=children, **fields)


def test_a_route_waits_as_an_ingress_does() -> None:
    gateway = make.config(ingress={"ingressDomain": "example.com", "gateway": "infra/gateway"})
    waiting = replace(observed(foreign=frozenset((Child("HTTPRoute", "triton-mms"),))), config=gateway)
    made = plan(waiting, make.NOW)
    assert applied(made)["HTTPRoute"] is False
    assert "HTTPRoute triton-mms is another controller's until the Deployment is ready" in str(made.statuses)


def applied(made: Plan) -> dict[str, bool]:
    return {each.manifest["kind"]: each.take_over for each in made.applies}


def deployment_of(made: Plan, *, available: bool, replicas: int = 1) -> Manifest:
    (found,) = [each.manifest for each in made.applies if each.manifest["kind"] == "Deployment"]
    status = {"conditions": [{"type": "Available", "status": "True" if available else "False"}]}
    spec = found["spec"] | {"replicas": replicas}
    return {**found, "spec": spec, "status": status, "metadata": found["metadata"] | {"uid": "uid-of-deployment"}}


@pytest.mark.parametrize(("available", "replicas"), [(False, 1), (True, 0), (True, 1)])
def test_only_a_deployment_with_replicas_that_is_available_takes_over(available: bool, replicas: int) -> None:
    first = plan(observed(), make.NOW)
    assert applied(first)["Service"] is applied(first)["Ingress"] is False, "there is no Deployment yet"
    assert applied(first)["Deployment"]
    deployment = deployment_of(first, available=available, replicas=replicas)
    made = applied(plan(observed(deployment), make.NOW))
    assert made["Service"] is made["Ingress"] is (available and replicas > 0)


def test_the_status_says_in_one_sentence_what_waits() -> None:
    deployment = deployment_of(plan(observed(), make.NOW), available=False)
    made = plan(observed(deployment, foreign=frozenset((SERVICE, INGRESS))), make.NOW)
    (write,) = [each for each in made.statuses if each.kind == "InferenceService"]
    status = HOST.status.from_wire(write.after.to_wire())
    predictor, ingress = find(status.conditions, PREDICTOR_READY), find(status.conditions, INGRESS_READY)
    assert predictor is not None
    assert predictor.reason == "MinimumReplicasUnavailable"
    assert (predictor.message or "").endswith(f"0 of 1 replicas are ready; {NOT_YET}")
    assert ingress is not None
    assert ingress.message == "Ingress triton-mms is another controller's until the Deployment is ready"


def test_an_object_of_ours_that_lost_its_label_is_not_foreign() -> None:
    ours = build_service(HOST)
    assert not take_over.is_foreign(ours)
    bare = {"metadata": {"labels": {}, "annotations": {names.APPLIED_HASH: "0"}}}
    assert not take_over.is_foreign(bare)
    assert take_over.is_foreign(kserve.service(make.host_object()))
    assert take_over.is_foreign({"metadata": {"labels": {names.MANAGED_BY: "Helm"}}})


def test_the_patch_leaves_nothing_of_the_other_service_s_ports_and_selector() -> None:
    other = kserve.service(make.host_object(), "triton-mms")
    other["metadata"]["resourceVersion"] = "7"
    patch = take_over.replacement(other, build_service(HOST))
    assert patch is not None
    assert patch["metadata"] == {"resourceVersion": "7"}
    assert patch["spec"]["selector"] == {"app": None} | names.selector("triton-mms")
    assert [each["port"] for each in patch["spec"]["ports"]] == [80, names.GRPC_PORT]
    assert "type" not in patch["spec"], "a LoadBalancer stays one"
    assert take_over.replacement(other, {"kind": "Ingress"}) is None


def test_a_taken_over_child_is_in_the_status_no_more() -> None:
    deployment = deployment_of(plan(observed(), make.NOW), available=True)
    waiting = observed(deployment, foreign=frozenset((SERVICE,)))
    assert NOT_YET in str(plan(waiting, make.NOW).statuses)
    assert NOT_YET not in str(plan(replace(waiting, foreign=frozenset()), make.NOW).statuses)
