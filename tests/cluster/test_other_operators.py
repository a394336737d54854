"""Hosts of another operator: no plan, until the other one is gone."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.observe import observe
from manyserve.cluster.other_operators import OtherOperators
from manyserve.cluster.state import ClusterState
from manyserve.plan.plan import plan
from tests.support import make

HOST = Key("default", "triton-mms")
OURS, THEIRS = "ours/manyserve-operator", "theirs/manyserve-operator"


def state_of(take_over: str = "") -> ClusterState:
    state = ClusterState(lambda _key: None)
    state.config = make.config()
    state.others = OtherOperators(OURS, take_over)
    state.update_model(None, make.model_object())
    return state


def marked(operator: object) -> dict[str, Any]:
    return make.host_object() | {"status": {"operator": operator}}


@pytest.mark.parametrize("mark", [None, "", OURS])
def test_free_host_is_planned_and_has_our_mark(mark: str | None) -> None:
    state = state_of()
    state.update_host(None, marked(mark))
    observed = observe(state, HOST)
    assert observed is not None
    (status,) = (each for each in plan(observed, make.NOW).statuses if each.kind == "InferenceService")
    assert status.patch.get("operator", mark) == OURS


@pytest.mark.parametrize("mark", [7, [], {"x": 1}])
def test_mark_of_another_form_is_no_operator(mark: object) -> None:
    state = state_of()
    state.update_host(None, marked(mark))
    assert state.others.hosts == {}


def test_host_of_another_operator_is_not_planned(caplog: pytest.LogCaptureFixture) -> None:
    state = state_of()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            state.update_host(None, marked(THEIRS))
    assert observe(state, HOST) is None
    assert state.hosts == {}
    assert caplog.text.count(f"{HOST} is managed by the operator {THEIRS}") == 1


def test_two_operators_end_with_one() -> None:
    """The second of two status writes conflicts, and its operator then reads the mark of the first."""
    state = state_of()
    state.update_host(None, make.host_object())
    assert observe(state, HOST) is not None
    state.update_host(make.host_object(), marked(THEIRS))
    assert observe(state, HOST) is None


def test_host_is_taken_over_when_its_mark_is_removed() -> None:
    state = state_of()
    state.update_host(None, marked(THEIRS))
    state.update_host(marked(THEIRS), make.host_object())
    assert observe(state, HOST) is not None
    assert state.others.hosts == {}


def test_hosts_of_the_operator_in_the_setting_are_taken_over() -> None:
    state = state_of(take_over=THEIRS)
    state.update_host(None, marked(THEIRS))
    observed = observe(state, HOST)
    assert observed is not None
    (status,) = (each for each in plan(observed, make.NOW).statuses if each.kind == "InferenceService")
    assert status.patch["operator"] == OURS


def test_models_of_a_deleted_host_of_another_operator_are_left_to_it() -> None:
    state = state_of()
    state.update_host(None, marked(THEIRS))
    before = make.model_object()
    placed = before | {"status": {"placedBy": {"name": HOST.name, "uid": f"uid-{HOST.name}"}}}
    state.update_model(before, placed)
    state.update_host(marked(THEIRS), None)
    assert observe(state, HOST) is None
    state.update_model(placed, None)
    assert observe(state, HOST) is not None, "nothing of the host is left"


def test_mark_of_a_hostile_status_is_one_short_line(caplog: pytest.LogCaptureFixture) -> None:
    state = state_of()
    with caplog.at_level(logging.WARNING):
        state.update_host(None, marked("\x1b[31m\n\u202e" + "x" * 10**6))
    (line,) = caplog.messages
    assert line.isprintable()
    assert len(line) < 500


def test_operator_without_a_name_manages_all_hosts() -> None:
    state = state_of()
    state.others = OtherOperators()
    state.update_host(None, marked(THEIRS))
    assert observe(state, HOST) is not None
