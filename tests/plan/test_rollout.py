"""Hold of a new pod: the models that answer on the host's other pods in service, and the longest wait for them."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.agentreport import LONGEST_HOLD, AgentReport, ModelReport, ModelState
from manyserve.plan.pods import Replica, replicas_of
from manyserve.plan.rollout import failing_models, hold_seconds
from tests.support import make

TIMEOUT = 1800.0
EXISTING = {"a", "b"}
LOADED, FAILED = ModelState.LOADED, ModelState.LOAD_FAILED


def report(*, settled: bool = True, server: bool = True, **states: Any) -> AgentReport:
    models = {name: ModelReport(state=state, digest=name, message="no memory") for name, state in states.items()}
    return AgentReport(instance="a", revision=1, config="x", server_ready=server, settled=settled, models=models)


def new(**states: ModelState) -> AgentReport:
    """Return the report of a pod that was never ready."""
    return report(settled=False, **states)  # type: ignore[arg-type]


def replicas(
    mine: AgentReport | None, *others: AgentReport | None, ready: bool = True, revision: str = "old"
) -> tuple[Replica, tuple[Replica, ...]]:
    """Return a new pod, and all pods; `revision` is that of the others."""
    pods: list[Any] = [make.pod("new", ready=False), *(make.pod(f"other-{n}", ready=ready) for n in range(len(others)))]
    for pod in pods:
        pod["metadata"]["labels"]["pod-template-hash"] = "new" if pod is pods[0] else revision
    uids = [pod["metadata"]["uid"] for pod in pods]
    found = {uid: each for uid, each in zip(uids, (mine, *others), strict=True) if each is not None}
    every = replicas_of(pods, found)
    return next(each for each in every if each.name == "new"), every


def hold(mine: AgentReport | None, *others: AgentReport | None, is_routed: bool = True, **options: Any) -> float | None:
    pod, every = replicas(mine, *others, **options)
    return hold_seconds(pod, every, EXISTING, TIMEOUT, is_routed=is_routed)


@pytest.mark.parametrize("mine", [None, new(), new(a=ModelState.DOWNLOADING, b=FAILED)])
def test_hold_is_0_without_another_pod_in_service(mine: AgentReport | None) -> None:
    assert hold(mine) == 0
    starting = report(settled=False, a=LOADED, b=LOADED)
    assert hold(mine, starting, ready=False) == 0


@pytest.mark.parametrize("state", [ModelState.PENDING, ModelState.DOWNLOADING, ModelState.LOADING])
def test_hold_is_the_longest_while_a_model_that_answers_elsewhere_is_in_progress(state: ModelState) -> None:
    assert hold(new(a=LOADED, b=state), report(a=LOADED, b=LOADED)) == LONGEST_HOLD
    assert hold(new(a=FAILED, b=state), report(a=LOADED, b=LOADED)) == LONGEST_HOLD
    assert hold(new(a=LOADED, b=state), report(a=LOADED), report(b=LOADED)) == LONGEST_HOLD


@pytest.mark.parametrize("state", ModelState)
def test_hold_is_0_when_models_that_answer_elsewhere_answer(state: ModelState) -> None:
    other = report(a=LOADED, b=ModelState.DOWNLOAD_FAILED)
    assert hold(new(a=LOADED, b=state), other) == 0, "b answers nowhere else"


@pytest.mark.parametrize("state", [ModelState.DOWNLOAD_FAILED, ModelState.LOAD_FAILED])
def test_hold_for_a_failing_model_is_the_timeout(state: ModelState) -> None:
    assert hold(new(a=LOADED, b=state), report(a=LOADED, b=LOADED)) == TIMEOUT


def test_hold_needs_an_answering_server_of_the_new_pod() -> None:
    loaded = report(settled=False, server=False, a=LOADED)
    assert hold(loaded, report(a=LOADED)) == LONGEST_HOLD


def test_hold_for_a_model_that_is_not_read_yet_is_the_timeout_and_for_a_deleted_one_0() -> None:
    for unread in (None, AgentReport(instance="a", revision=1)):
        assert hold(unread, report(a=LOADED)) == TIMEOUT
        assert hold(unread, report(deleted=LOADED)) == TIMEOUT, "it may be on the list"
    assert hold(new(a=LOADED), report(a=LOADED, b=LOADED)) == TIMEOUT
    assert hold(new(a=LOADED), report(a=LOADED, deleted=LOADED)) == 0


def test_hold_counts_a_previous_version_that_answers_elsewhere() -> None:
    previous = ModelReport(state=FAILED, digest="b", serving=True)
    other = report(a=LOADED).model_copy(update={"models": {"b": previous}})
    assert hold(new(b=FAILED), other) == TIMEOUT
    assert hold(new(b=ModelState.DOWNLOADING), other) == LONGEST_HOLD


def test_hold_is_unknown_while_a_ready_pod_has_no_report() -> None:
    assert hold(new(a=LOADED, b=FAILED), None, report(a=LOADED)) is None
    assert hold(new(a=LOADED), None, ready=False) == 0, "that pod is not ready either"


def test_hold_is_unknown_while_the_server_of_a_ready_pod_does_not_answer() -> None:
    silent = report(server=False, a=ModelState.LOADING)
    assert hold(new(a=ModelState.LOADING), silent) is None, "it may have missed one poll"
    assert hold(new(a=ModelState.LOADING), silent, ready=False) == 0


def test_hold_is_unknown_while_requests_go_to_pods_of_another_controller() -> None:
    assert hold(new(a=ModelState.LOADING), is_routed=False) is None
    assert hold(new(a=FAILED), report(a=LOADED), is_routed=False) == TIMEOUT


def test_hold_counts_a_pod_with_a_late_readiness_probe() -> None:
    assert hold(new(a=ModelState.LOADING), report(a=LOADED), ready=False) == LONGEST_HOLD
    assert hold(new(a=ModelState.LOADING), report(server=False, a=LOADED), ready=False) == 0


def test_hold_is_0_for_a_model_that_fails_on_a_ready_pod_of_the_same_revision() -> None:
    given_up, previous = report(a=LOADED, b=FAILED), report(a=LOADED, b=LOADED)
    assert hold(new(a=LOADED, b=FAILED), given_up, previous, revision="new") == 0
    assert hold(new(a=LOADED, b=FAILED), given_up, previous, revision="old") == TIMEOUT, "the old pods fail, too"
    assert hold(new(a=LOADED, b=ModelState.LOADING), given_up, previous, revision="new") == LONGEST_HOLD


def test_failing_models_are_those_that_keep_the_pod_unready() -> None:
    pod, every = replicas(new(a=FAILED, b=ModelState.LOADING, c=FAILED), report(a=LOADED, b=LOADED, deleted=LOADED))
    assert list(failing_models(pod, every)) == ["a"]


def test_hold_of_10000_models_names_none_of_them() -> None:
    names = [f"m{number}" for number in range(10_000)]
    everywhere = report(**dict.fromkeys(names, LOADED))  # type: ignore[arg-type]
    assert hold(new(**dict.fromkeys(names, LOADED)), everywhere, everywhere) == 0
