"""`status.modelStatus` of hosts, for Argo CD's health check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import ModelStates, ModelStatus
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from tests.plan.status.test_predictor_ready import DEPLOYMENT, with_deployment
from tests.plan.status.test_rollout import rolling
from tests.plan.test_invalid_spec import invalid
from tests.plan.test_plan import seen
from tests.support import make, sharded, world

LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too late"}


def status_of(observed: Observed) -> ModelStatus:
    """Return the status after one plan, of which the children are not written."""
    after = world.carry_out(observed, replace(plan(observed, make.NOW), applies=())).host
    assert after
    assert after.status.model_status
    return after.status.model_status


def transition(observed: Observed) -> str | None:
    return status_of(observed).transition_status


def with_status(settled: Observed, *added: dict[str, str], **counts: Any) -> Observed:
    """Return the snapshot with other fields and further conditions in the Deployment's status."""
    deployment = settled.children[DEPLOYMENT]
    status = deployment["status"] | counts
    status |= {"conditions": [*status["conditions"], *added]}
    return replace(settled, children={**settled.children, DEPLOYMENT: deployment | {"status": status}})


def waiting_pod(reason: str) -> dict[str, Any]:
    pod = make.pod("new", ready=False)
    pod["status"]["containerStatuses"] = [{"name": "kserve-container", "state": {"waiting": {"reason": reason}}}]
    return pod


def failing_pod(settled: Observed, reason: str) -> Observed:
    """Return the snapshot with a second pod in a roll-out, of which a container waits for this reason."""
    return with_status(replace(settled, pods=(*settled.pods, waiting_pod(reason))), replicas=2)


def test_new_host_is_in_progress_until_its_pods_answer() -> None:
    states = ModelStates(active_model_state="", target_model_state="Loading")
    assert status_of(seen(pods=())) == ModelStatus(transition_status="InProgress", states=states)
    states = ModelStates(active_model_state="Loaded", target_model_state="Loaded")
    settled = world.settle(seen(make.model()))
    assert status_of(settled) == ModelStatus(transition_status="UpToDate", states=states)
    assert plan(settled, make.NOW).empty


def test_host_in_a_rollout_is_in_progress() -> None:
    settled = world.settle(seen())
    assert transition(with_status(settled, updatedReplicas=0)) == "InProgress"
    assert transition(with_status(settled, replicas=2)) == "InProgress"
    assert transition(with_deployment(settled, replicas=0)) == "InProgress"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        *((each, "BlockedByFailedLoad") for each in ("CrashLoopBackOff", "ErrImagePull", "CreateContainerError")),
        ("InvalidImageName", "BlockedByFailedLoad"),
        ("Waiting", "InProgress"),
    ],
)
def test_host_with_a_failing_pod_is_blocked(reason: str, expected: str) -> None:
    assert transition(failing_pod(world.settle(seen()), reason)) == expected


def test_host_with_a_late_rollout_is_blocked_whatever_its_pod_waits_for() -> None:
    settled = failing_pod(world.settle(seen()), "Waiting")
    assert transition(with_status(settled, LATE)) == "BlockedByFailedLoad"
    assert transition(with_status(world.settle(seen()), LATE | {"status": "True"})) == "UpToDate"


def test_host_with_a_model_that_fails_on_a_new_pod_is_blocked() -> None:
    states = ModelStates(active_model_state="Loaded", target_model_state="FailedToLoad")
    assert status_of(rolling()) == ModelStatus(transition_status="BlockedByFailedLoad", states=states)


def test_host_with_an_invalid_spec_says_so_while_it_answers_and_before() -> None:
    fields: dict[str, Any] = {"triton": {"args": ["--model-control-mode=poll"]}}
    answering = status_of(invalid(world.settle(seen()), fields))
    assert answering.transition_status == "InvalidSpec"
    assert answering.states == ModelStates(active_model_state="Loaded", target_model_state="FailedToLoad")
    assert transition(seen(host=make.host(**fields))) == "InvalidSpec"
    assert transition(seen(config=make.config(predictors={}))) == "InvalidSpec"


def test_host_with_a_refused_child_is_in_progress() -> None:
    refused = replace(world.settle(seen()), failures={Child("Service", "triton-mms"): "no quota"})
    assert transition(refused) == "InProgress"


def test_host_keeps_its_state_while_lookups_are_pending() -> None:
    settled = world.settle(seen())
    assert transition(replace(settled, lookups_pending=True)) == "UpToDate"
    assert transition(replace(with_status(settled, updatedReplicas=0), lookups_pending=True)) == "UpToDate"
    assert transition(replace(seen(), lookups_pending=True)) == "InProgress"


def test_stored_model_status_of_kserve_is_read_and_replaced() -> None:
    stored = {"modelStatus": {"copies": {"failedCopies": 1}, "states": None, "transitionStatus": None}}
    host = InferenceService.from_wire(make.host_object() | {"status": stored})
    assert transition(seen(host=host, pods=())) == "InProgress"


def test_heterogeneous_host_is_up_to_date_when_all_shards_are() -> None:
    with sharded.served():
        settled = sharded.settled(sharded.model("a"), sharded.model("b"))
        assert transition(settled) == "UpToDate"
