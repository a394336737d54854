"""A condition keeps the time since which its status holds."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.conditions import MESSAGE_LIMIT, Condition, find, merge_conditions
from manyserve.api.trainedmodel import TrainedModelStatus
from tests.support.make import NOW

LATER = NOW + timedelta(seconds=5)


def test_the_time_stays_while_the_status_stays_and_moves_when_it_flips() -> None:
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
def test_a_long_message_is_cut(text: str) -> None:
    (only,) = merge_conditions((), (Condition(type="Ready", status="False", message=text),), NOW)
    assert only.message == text[:MESSAGE_LIMIT]


def test_models_that_say_the_same_hold_the_same_condition_once() -> None:
    said = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    one, other = (TrainedModelStatus.from_wire({"conditions": said}).conditions[0] for _ in range(2))
    assert one is other
    assert one.to_wire() == said[0]
