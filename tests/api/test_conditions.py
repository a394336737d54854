"""Conditions: transition times, order, truncation and interning."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.conditions import MESSAGE_LIMIT, REASON_LIMIT, Condition, condition, find, merge_conditions
from manyserve.api.trainedmodel import TrainedModelStatus, placed_by
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
def test_condition_message_is_truncated_and_printable(text: str) -> None:
    (only,) = merge_conditions((), (Condition(type="Ready", status="False", message=text, reason=text),), NOW)
    assert only.message is not None
    assert len(only.message) == MESSAGE_LIMIT
    assert only.message.isprintable()
    assert all(kept in (letter, "?") for kept, letter in zip(only.message, text, strict=False))
    assert only.reason == only.message[:REASON_LIMIT]


def test_cache_of_conditions_has_short_keys_only() -> None:
    """A message of 15 MiB was kept for each of the last 4,096 conditions."""
    long = condition("Ready", "False", "r" * 10**6, "m" * 10**6)
    assert condition("Ready", "False", "r" * REASON_LIMIT, "m" * MESSAGE_LIMIT) is long


def test_forged_conditions_of_a_status_are_cut() -> None:
    forged = {"type": "t" * 10**6, "status": "s" * 10**6, "lastTransitionTime": "l" * 10**6}
    (parsed,) = TrainedModelStatus.from_wire({"conditions": [forged]}).conditions
    assert (len(parsed.type), parsed.status, len(parsed.last_transition_time or "")) == (128, "Unknown", 64)


def test_long_names_of_a_forged_status_are_not_interned() -> None:
    before = placed_by.cache_info().currsize
    status = TrainedModelStatus.from_wire({"placedBy": {"name": "n" * 10**6, "uid": "u"}})
    assert placed_by.cache_info().currsize == before
    assert status.placed_by is not None


def test_conditions_of_models_are_interned() -> None:
    raw = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    first, second = (TrainedModelStatus.from_wire({"conditions": raw}).conditions[0] for _ in range(2))
    assert first is second
    assert first.to_wire() == raw[0]
