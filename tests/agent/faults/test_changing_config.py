"""Sequences of configs: the last one is loaded, and no model twice."""

import asyncio
import json
import os

import pytest

from manyserve.api.modelconfig import Entry, content_hash, dump
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]


async def in_force(pod: Pod) -> None:
    """Wait until the present config is in force."""
    await eventually(lambda: pod.report.config == content_hash(pod.config.path.read_bytes()))


async def test_config_change_and_back_ends_with_first_version(pod: Pod) -> None:
    await pod.running("a")
    pod.bucket.put("b", "b")
    pod.config.write(entry("a", "gs://bucket/models/b"))
    await eventually(lambda: pod.triton.served["a"] == "b")
    pod.config.write(entry("a"))
    await eventually(lambda: pod.triton.served["a"] == "a")
    await pod.shows(a="Loaded")


async def test_config_change_and_back_between_two_polls_is_no_change(pod: Pod) -> None:
    await pod.running("a")
    pod.config.write(entry("a", "gs://bucket/models/b"))
    pod.config.write(entry("a"))
    pod.config.write(entry("a"), entry("b"))
    await pod.shows(a="Loaded", b="DownloadFailed")
    assert pod.triton.calls == ["load a"]


async def test_config_swapped_a_thousand_times_ends_with_the_last(pod: Pod) -> None:
    await pod.running("a", "b")
    pod.bucket.put("c", "c")
    choices: tuple[list[Entry], ...] = (
        [],
        [entry("a")],
        [entry("a", "gs://bucket/models/b"), entry("b")],
        [entry("b"), entry("c")],
    )
    for number in range(1000):
        pod.config.write(*choices[number % 4])
        await asyncio.sleep(0.005)
    pod.config.write(entry("a", "gs://bucket/models/c"), entry("b"))
    await eventually(lambda: pod.triton.served == {"a": "c", "b": "b"} and set(pod.states().values()) == {"Loaded"})
    assert not pod.triton.torn


async def test_config_with_another_order_reloads_nothing(pod: Pod) -> None:
    await pod.running("a", "b", "c")
    before = list(pod.triton.calls)
    rows = json.loads(pod.config.path.read_text())
    pod.config.write_text(json.dumps(rows[::-1], indent=3))
    await in_force(pod)
    await pod.shows(a="Loaded", b="Loaded", c="Loaded")
    assert pod.triton.calls == before


async def test_config_with_another_memory_reloads_nothing(pod: Pod) -> None:
    await pod.running("a")
    pod.config.write(entry("a", memory="2Mi"))
    await in_force(pod)
    await pod.shows(a="Loaded")
    assert pod.triton.calls == ["load a"]


async def test_config_changed_with_unchanged_times_is_read(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.bucket.put("b")
    path = pod.config.path
    path.write_text(dump([entry("a")]))
    await pod.start()
    await pod.shows(a="Loaded")
    times = path.stat()
    path.write_text(dump([entry("b")]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    await pod.shows(b="Loaded")
    await eventually(lambda: list(pod.triton.served) == ["b"])
