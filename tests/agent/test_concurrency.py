"""Blocking work in threads."""

import asyncio
import time

import pytest

from manyserve.agent.concurrency import in_thread


async def test_in_thread_waits_for_thread_when_cancelled() -> None:
    ended: list[str] = []

    def work() -> None:
        time.sleep(0.1)
        ended.append("thread")

    task = asyncio.create_task(in_thread(work))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["thread"]
