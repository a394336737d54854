"""Condition `RouterReady`: at least one router is available, and the reason of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.api import names
from manyserve.api.conditions import Condition
from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.names import Key
from manyserve.api.routerreport import RouterReport
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from manyserve.plan.rules import allocation
from tests.support import make, world

HOST = "triton-mms"
ROUTERS = Child("Deployment", names.router(HOST))


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))


def running(**status: Any) -> Observed:
    """Return a host with all of its children, and this status of its routers."""
    seen = Observed(Key("default", HOST), make.config(), make.host(allocation=HETEROGENEOUS))
    for _ in range(3):
        seen = world.carry_out(seen, plan(seen, make.NOW))
    deployment = seen.children[ROUTERS] | {"status": seen.children[ROUTERS]["status"] | status}
    return replace(seen, children={**seen.children, ROUTERS: deployment})


def conditions(seen: Observed) -> dict[str, Condition]:
    after = world.carry_out(seen, plan(seen, make.NOW))
    assert after.host is not None
    return {each.type: each for each in after.host.status.conditions}


def report(**fields: Any) -> dict[str, RouterReport]:
    given = {"instance": "i", "revision": 1, "ready": not fields.get("problem")} | fields
    return {"uid-r": RouterReport.from_wire(given)}


def with_report(seen: Observed, *, ready: bool = True, **fields: Any) -> Observed:
    return replace(seen, router_pods=(make.pod("r", ready=ready),), router_reports=report(**fields))


def outcome(condition: Condition) -> tuple[str, str | None, str | None]:
    return condition.status, condition.reason, condition.message


def test_homogeneous_host_has_no_condition_of_routers() -> None:
    seen = world.settle(Observed(Key("default", HOST), make.config(), make.host()))
    assert "RouterReady" not in conditions(seen)


def test_host_with_available_routers_is_ready() -> None:
    found = conditions(with_report(running()))
    assert outcome(found["RouterReady"]) == outcome(found["Ready"]) == ("True", None, None)


def test_host_without_an_available_router_is_not_ready() -> None:
    found = conditions(running(availableReplicas=0))
    assert outcome(found["RouterReady"]) == ("False", "RouterNotReady", "0 of 2 routers are ready")
    assert outcome(found["Ready"]) == outcome(found["RouterReady"])
    assert found["PredictorReady"].status == "True"


def test_host_without_the_deployment_of_routers_is_not_ready() -> None:
    seen = running()
    alone = replace(seen, children={child: each for child, each in seen.children.items() if child != ROUTERS})
    assert conditions(alone)["Ready"].message == "the Deployment of the routers does not exist yet"


def test_condition_has_the_reason_of_the_pod() -> None:
    waiting = {"name": "envoy", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    pod = make.pod("r", ready=False)
    pod["status"]["containerStatuses"] = [waiting]
    expected = "pod r: container envoy is waiting: no such image"
    alone = conditions(replace(running(availableReplicas=0), router_pods=(pod,)))
    assert alone["Ready"].message == f"0 of 2 routers are ready; {expected}"
    beside = conditions(replace(running(availableReplicas=1), router_pods=(pod,)))
    assert outcome(beside["Ready"]) == ("True", "RouterNotReady", f"1 of 2 routers are ready; {expected}")


def test_condition_has_the_reason_of_the_program() -> None:
    seen = with_report(running(availableReplicas=0), ready=False, problem="the agents have not answered yet")
    message = conditions(seen)["Ready"].message
    assert message == "0 of 2 routers are ready; pod r: the agents have not answered yet"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"nack": "no"}, "router r: Envoy refuses an update, and keeps its last routes: no"),
        ({"podsError": "pods.json cannot be used"}, "router r: pods.json cannot be used"),
    ],
)
def test_refused_update_is_a_message_of_a_ready_host(fields: dict[str, Any], sentence: str) -> None:
    found = conditions(with_report(running(), **fields))
    assert outcome(found["Ready"]) == ("True", "RouterUpdatesRefused", sentence)


def test_router_that_starts_is_no_problem() -> None:
    pod = make.pod("r", ready=False)
    found = conditions(replace(running(availableReplicas=1), router_pods=(pod,)))
    assert outcome(found["Ready"]) == ("True", None, None)


def test_problem_of_the_predictor_comes_first() -> None:
    seen = running(availableReplicas=0)
    broken = {child: each | {"status": {}} for child, each in seen.children.items() if "predictor" in child.name}
    found = conditions(replace(seen, children={**seen.children, **broken}))
    assert found["Ready"].message == found["PredictorReady"].message
