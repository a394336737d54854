"""Blocking work in threads."""

import asyncio
import threading

import pytest

from manyserve.agent.concurrency import in_thread


async def test_in_thread_waits_for_thread_when_cancelled() -> None:
    ended: list[str] = []

    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(5)
        ended.append("thread")

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["thread"]
