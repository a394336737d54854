"""Conditions: transition times, order, truncation and interning."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.conditions import MESSAGE_LIMIT, Condition, find, merge_conditions
from manyserve.api.trainedmodel import TrainedModelStatus
from tests.support.make import NOW

LATER = NOW + timedelta(seconds=5)


def test_condition_transition_time_changes_with_status_only() -> None:
    first = merge_conditions((), (Condition(type="Ready", status="False", reason="A"),), NOW)
    same = merge_conditions(first, (Condition(type="Ready", status="False", reason="B"),), LATER)
    flipped = merge_conditions(same, (Condition(type="Ready", status="True"),), LATER)
    assert [each[0].last_transition_time for each in (first, same, flipped)] == [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:05Z",
    ]


def test_conditions_are_sorted_by_type_and_found() -> None:
    both = merge_conditions((), (Condition(type="Ready", status="True"), Condition(type="Loaded", status="False")), NOW)
    assert [each.type for each in both] == ["Loaded", "Ready"]
    assert find(both, "Ready") == both[1]
    assert find(both, "Nothing") is None


@given(st.text(min_size=MESSAGE_LIMIT, max_size=4 * MESSAGE_LIMIT))
def test_condition_message_is_truncated(text: str) -> None:
    (only,) = merge_conditions((), (Condition(type="Ready", status="False", message=text),), NOW)
    assert only.message == text[:MESSAGE_LIMIT]


def test_conditions_of_models_are_interned() -> None:
    raw = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    first, second = (TrainedModelStatus.from_wire({"conditions": raw}).conditions[0] for _ in range(2))
    assert first is second
    assert first.to_wire() == raw[0]
