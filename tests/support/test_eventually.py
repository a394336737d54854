"""The poll helpers return the value of the check, and name the awaited state and the last value when time is up."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.support.eventually import NotInTime, eventually, eventually_in_thread, eventually_sync


async def test_eventually_polls_until_value_is_truthy_and_returns_it() -> None:
    counts = itertools.count()

    async def count_after_a_turn() -> int:
        await asyncio.sleep(0)
        return next(counts)

    assert await eventually(lambda: next(counts)) == 1
    assert await eventually(count_after_a_turn) == 2
    assert await eventually_in_thread(lambda: next(counts), "a count", 1) == 3
    assert eventually_sync(lambda: next(counts), "a count", 1) == 4


async def test_eventually_failure_names_state_and_last_value() -> None:
    with pytest.raises(NotInTime, match=r"^not within 0\.01 s: three models; last seen: \[\]$"):
        await eventually(list[str], "three models", limit=0.01)
    with pytest.raises(NotInTime, match=r"^not within 0 s: three models; last seen: \[\]$"):
        eventually_sync(list[str], "three models", 0, 0.01)


async def test_eventually_failure_quotes_check_without_description() -> None:
    models: list[str] = []
    with pytest.raises(NotInTime, match=r"len\(models\) == 3.*; last seen: False$"):
        await eventually(lambda: len(models) == 3, limit=0.01)


async def test_eventually_ends_hanging_check_at_limit() -> None:
    with pytest.raises(NotInTime, match="an answer; last seen: None"):
        await eventually(asyncio.Event().wait, "an answer", limit=0.01)


async def test_eventually_propagates_timeout_of_check() -> None:
    def check() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await eventually(check)
