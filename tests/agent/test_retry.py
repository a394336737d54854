"""Retry states and their backoff."""

from hypothesis import given
from hypothesis import strategies as st

from manyserve.agent.retry import BACKOFF, BACKOFF_PERMANENT, RetryState, Stage, backoff


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.booleans())
def test_backoff_delay_is_at_most_its_cap(failures: int, fraction: float, permanent: bool) -> None:
    cap = BACKOFF_PERMANENT.cap if permanent else BACKOFF.cap
    assert 0.5 <= backoff(permanent=permanent).delay(failures, fraction) <= cap


def test_backoff_delay_doubles() -> None:
    assert [backoff(permanent=False).delay(count, 1) for count in range(1, 8)] == [1, 2, 4, 8, 16, 32, 60]
    assert backoff(permanent=True).delay(6, 1) == 30


def test_retry_state_belongs_to_one_digest() -> None:
    retry = RetryState("x", Stage.LOAD, 3)
    assert retry.for_digest("x") is retry
    assert retry.for_digest("y") == RetryState("y")
