"""Backoff of all programs: base, cap and jitter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manyserve.backoff import Backoff


def test_backoff_doubles_up_to_its_cap() -> None:
    backoff = Backoff(base=0.5, cap=3.0, jitter=0.0)
    assert [backoff.delay(failures) for failures in (1, 2, 3, 4, 10_000)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_backoff_jitter_takes_away_at_most_its_share() -> None:
    backoff = Backoff(base=1.0, cap=60.0, jitter=0.25)
    assert (backoff.delay(1, fraction=0.0), backoff.delay(1, fraction=1.0)) == (0.75, 1.0)


@given(st.integers(min_value=1, max_value=10**9))
def test_backoff_delay_is_within_its_bounds(failures: int) -> None:
    backoff = Backoff(base=1.0, cap=60.0)
    assert 0.5 <= backoff.delay(failures) <= 60.0
