"""Histories of a heterogeneous host: limits hold in each revision, no answer is lost, and every history settles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.profile import tried
from tests.plan.sharding.histories import History

STEPS = 40


@given(st.integers(0, 10**9))
@tried(150)
def test_history_keeps_limits_and_answers_and_settles(seed: int) -> None:
    history = History(seed)
    for _ in range(STEPS):
        history.step()
    placement = history.rest()
    assert history.is_settled(placement)
    for name in history.models:
        copies = sum(name in entries for entries in history.stored.values())
        assert copies or name in placement.insufficient_memory, f"{name} is neither placed nor waiting"
        assert copies <= max(history.scaled.get(name, 1), 1)
