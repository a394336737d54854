"""Condition `IngressReady` of a host, and `Ready` of a host and a model without a way from outside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manyserve.api import conditions
from manyserve.api.conditions import Condition
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.plan import plan
from tests.plan.test_plan import ready, seen
from tests.support import make, world

NAME = "triton-mms"


def with_child(observed: Observed, kind: str, manifest: Manifest) -> Observed:
    return replace(observed, children={**observed.children, Child(kind, NAME): manifest})


def condition_of(observed: Observed, kind: str) -> Condition:
    after = world.carry_out(observed, replace(plan(observed, make.NOW), applies=())).host
    assert after
    condition = conditions.find(after.status.conditions, kind)
    assert condition
    return condition


def of_another_host(manifest: Manifest) -> Manifest:
    owners = [each | {"uid": "uid-of-an-earlier-host"} for each in manifest["metadata"]["ownerReferences"]]
    return manifest | {"metadata": manifest["metadata"] | {"ownerReferences": owners}}


@pytest.mark.parametrize(("kind", "ingress"), [("Ingress", {}), ("HTTPRoute", {"gateway": "infra/public"})])
def test_ingress_ready_is_false_with_the_ingress_of_an_earlier_host(kind: str, ingress: Manifest) -> None:
    settled = world.settle(seen(config=make.config(ingress=ingress)))
    accepted = {"parents": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}
    own = settled.children[Child(kind, NAME)]
    own = own | ({"status": accepted} if kind == "HTTPRoute" else {})
    assert condition_of(with_child(settled, kind, own), conditions.INGRESS_READY).status == "True"
    earlier = condition_of(with_child(settled, kind, of_another_host(own)), conditions.INGRESS_READY)
    assert (earlier.status, earlier.message) == ("False", f"the {kind} does not exist yet")


def without_address(observed: Observed) -> Observed:
    ingress = observed.children[Child("Ingress", NAME)]
    return with_child(observed, "Ingress", {key: each for key, each in ingress.items() if key != "status"})


def test_host_without_an_ingress_address_is_not_ready_and_says_what_to_do() -> None:
    settled = without_address(world.settle(seen(make.model())))
    condition = condition_of(settled, conditions.READY)
    assert (condition.status, condition.reason) == ("False", "IngressNotReady")
    assert condition.message
    assert condition.message.startswith("answers inside the cluster only: no ingress controller has given")
    assert "ingress.disableIngressCreation: true" in condition.message
    assert condition_of(settled, conditions.PREDICTOR_READY).status == "True"


def test_model_is_ready_where_its_url_answers() -> None:
    settled = without_address(world.settle(seen(make.model())))
    status, reason, message = ready(world.carry_out(settled, replace(plan(settled, make.NOW), applies=())).models[0])
    assert (status, reason) == ("False", "InferenceServiceNotReady")
    assert message
    assert message.startswith("triton-mms is not ready: answers inside the cluster only: ")
    switched_off = replace(settled, config=make.config(ingress={"disableIngressCreation": True}))
    inside = world.carry_out(switched_off, plan(switched_off, make.NOW))
    assert ready(inside.models[0])[0] == "True"
    assert condition_of(inside, conditions.INGRESS_READY).status == "True"
