"""Argo CD's built-in health check of InferenceServices, from its Go module, on statuses that plans make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from tests.plan.status.test_predictor_ready import with_deployment
from tests.plan.status.test_rollout import rolling
from tests.plan.status.test_transition import LATE, failing_pod, with_status
from tests.plan.test_invalid_spec import invalid
from tests.plan.test_plan import seen
from tests.support import argo_cd, make, world

pytestmark = pytest.mark.contract  # `go` brings the module
INVALID: dict[str, Any] = {"triton": {"args": ["--model-control-mode=poll"]}}


def settled() -> Observed:
    return world.settle(seen(make.model()))


def without_ingress_address() -> Observed:
    before = settled()
    ingress = Child("Ingress", "triton-mms")
    children = {**before.children, ingress: before.children[ingress] | {"status": {}}}
    return replace(before, children=children)


def manifest(observed: Observed) -> dict[str, Any]:
    """Return the host after one plan, of which the children are not written."""
    after = world.carry_out(observed, replace(plan(observed, make.NOW), applies=())).host
    assert after
    return after.to_wire()


CASES = {
    "a new host without pods": (seen(pods=()), "Progressing"),
    "a host that answers": (settled(), "Healthy"),
    "a roll-out under way": (with_status(settled(), updatedReplicas=0), "Progressing"),
    "a roll-out that fails": (failing_pod(settled(), "CrashLoopBackOff"), "Degraded"),
    "a roll-out past its deadline": (with_status(settled(), LATE), "Degraded"),
    "a model that fails on a new pod": (rolling(), "Degraded"),
    "an invalid spec of a new host": (seen(host=make.host(**INVALID), pods=()), "Degraded"),
    "an invalid spec of a host that answers": (invalid(settled(), INVALID), "Degraded"),
    "a host without an image": (seen(config=make.config(predictors={}), pods=()), "Degraded"),
    "a host scaled to zero": (with_deployment(settled(), replicas=0), "Progressing"),
    "a host without a way from outside": (without_ingress_address(), "Progressing"),
}


@pytest.mark.parametrize(("observed", "expected"), CASES.values(), ids=CASES)
def test_argo_cd_shows_the_health_of_a_host(observed: Observed, expected: str) -> None:
    status, message = argo_cd.health(argo_cd.script_of_hosts(), manifest(observed))
    assert status == expected, message


def test_argo_cd_waits_for_the_status_of_a_new_or_unmanaged_host() -> None:
    assert argo_cd.health(argo_cd.script_of_hosts(), make.host_object())[0] == "Progressing"
