"""The poll helpers return the value of the check, and name the awaited state and the last value when time is up."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.support.eventually import NotInTime, eventually, eventually_in_thread, eventually_sync


async def test_each_form_polls_until_the_value_is_truthy_and_returns_it() -> None:
    counts = itertools.count()

    async def count_after_a_turn() -> int:
        await asyncio.sleep(0)
        return next(counts)

    assert await eventually(lambda: next(counts)) == 1
    assert await eventually(count_after_a_turn) == 2
    assert await eventually_in_thread(lambda: next(counts), "a count", 1) == 3
    assert eventually_sync(lambda: next(counts), "a count", 1) == 4


async def test_a_failure_names_the_awaited_state_and_the_last_value() -> None:
    with pytest.raises(NotInTime, match=r"^not within 0\.01 s: three models; last seen: \[\]$"):
        await eventually(list[str], "three models", limit=0.01)
    with pytest.raises(NotInTime, match=r"^not within 0 s: three models; last seen: \[\]$"):
        eventually_sync(list[str], "three models", 0, 0.01)


async def test_a_failure_without_a_description_quotes_the_check() -> None:
    models: list[str] = []
    with pytest.raises(NotInTime, match=r"len\(models\) == 3.*; last seen: False$"):
        await eventually(lambda: len(models) == 3, limit=0.01)


async def test_a_check_that_hangs_ends_at_the_limit() -> None:
    with pytest.raises(NotInTime, match="an answer; last seen: None"):
        await eventually(asyncio.Event().wait, "an answer", limit=0.01)


async def test_a_timeout_of_the_check_itself_is_passed_on() -> None:
    def check() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await eventually(check)
