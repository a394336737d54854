"""Condition `PredictorReady` of a host."""

from __future__ import annotations

from dataclasses import replace

from manyserve.api import conditions
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from tests.plan.test_plan import seen
from tests.support import make, world

DEPLOYMENT = Child("Deployment", "triton-mms-predictor-default")


def with_deployment(settled: Observed, **spec: object) -> Observed:
    deployment = settled.children[DEPLOYMENT]
    edited = deployment | {"spec": deployment["spec"] | spec}
    return replace(settled, children={**settled.children, DEPLOYMENT: edited})


def predictor_of(observed: Observed) -> tuple[str, str | None]:
    after = world.carry_out(observed, replace(plan(observed, make.NOW), applies=())).host
    assert after
    condition = conditions.find(after.status.conditions, conditions.PREDICTOR_READY)
    assert condition
    return condition.status, condition.reason


def test_predictor_ready_is_false_for_an_available_deployment_with_0_replicas() -> None:
    settled = world.settle(seen(make.model(), host=make.host(minReplicas=1, maxReplicas=3)))
    assert predictor_of(settled) == ("True", None)
    assert predictor_of(with_deployment(settled, replicas=0)) == ("False", "ScaledToZero")


def test_predictor_ready_reports_a_paused_deployment_which_stays_paused() -> None:
    paused = with_deployment(world.settle(seen(make.model())), paused=True)
    assert predictor_of(paused) == ("True", "DeploymentPaused")
    assert not plan(paused, make.NOW).applies, "it is somebody else's field"


def test_predictor_ready_truncates_a_long_reason_of_a_pod() -> None:
    waiting = {"reason": "x" * 300, "message": "y" * 3000}
    stuck = make.pod(ready=False)
    stuck["status"]["containerStatuses"] = [
        {"name": name, "state": {"waiting": waiting}} for name in ("agent", "kserve-container", "sidecar")
    ]
    todo = plan(seen(pods=(stuck,)), make.NOW)
    unavailable = world.carry_out(seen(pods=(stuck,)), todo)
    bare = {key: each for key, each in unavailable.children[DEPLOYMENT].items() if key != "status"}
    silent = replace(unavailable, children={**unavailable.children, DEPLOYMENT: bare})
    after = world.carry_out(silent, plan(silent, make.NOW)).host
    assert after
    condition = conditions.find(after.status.conditions, conditions.PREDICTOR_READY)
    assert condition
    assert condition.reason == "x" * 128
    assert condition.message
    assert len(condition.message) == 1024
