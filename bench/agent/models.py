"""Many tiny models at the start, then changes of some: how fast, with how much processor and memory.

The floor is a bare loop that asks the store and the server for the same, with the same parallelism, and keeps
nothing in order: no config, no second check, no disk flushes, no reports.
"""

from __future__ import annotations

import random
import sys
import time

from bench.agent.figures import figure
from bench.agent.pod import Stage, cpu_seconds, entry, peak_mib, seconds_until, stage

LIMIT = 180.0
MEMORY_MIB = 150
GROWTH = 1.25
"""Most seconds per model at the largest size, as a multiple of those at the smallest, that count as linear."""


def measure(sizes: tuple[int, ...] = (500, 2000), changes: int = 100) -> dict[str, object]:
    """Load so many models, size by size; with the last size, change some and count the loads."""
    figures: dict[str, object] = {}
    times: list[float] = []
    for count in sizes:
        with stage() as place:
            floor = _floor(place, count)
        with stage() as place:
            of_start, took = _start(place, count, floor)
            figures |= of_start
            times.append(took / count)
            if count == sizes[-1]:
                figures |= _change(place, count, changes)
    figures["time a model, most to fewest"] = figure(times[-1] / times[0], "times", below=GROWTH)
    return figures


def names(count: int) -> list[str]:
    """Return the names of so many models."""
    return [f"model-{number:05}" for number in range(count)]


def _floor(place: Stage, count: int) -> float:
    """Return the seconds of the bare loop, from the start of its program."""
    began = time.monotonic()
    program = (
        sys.executable,
        "-m",
        "bench.agent.floor",
        place.server,
        place.bucket,
        str(place.root / "volume" / "models"),
    )
    bare = place.start(*program, *names(count))
    if bare.wait(LIMIT) or place.ready() != count:
        raise RuntimeError("the bare loop did not load all models")
    return time.monotonic() - began


def _start(place: Stage, count: int, floor: float) -> tuple[dict[str, object], float]:
    place.write(map(entry, names(count)))
    agent = place.start()
    took = seconds_until(lambda: place.ready() == count, "the server has all models", LIMIT, agent)
    seconds_until(lambda: place.loaded() == count, "the agent reports all models", LIMIT)
    prefix = f"{count} models: "
    return {
        f"{prefix}loads": figure(place.calls()["load"], "loads", exactly=count),
        f"{prefix}until all are loaded": figure(took, "s", peer=f"a bare loop: {floor:.1f} s"),
        f"{prefix}rate": figure(count / took, "models/s", peer=f"a bare loop: {count / floor:.0f}"),
        f"{prefix}time a model": figure(took / count * 1000, "ms"),
        f"{prefix}processor a model": figure(cpu_seconds(agent.pid) / count * 1000, "ms"),
        f"{prefix}peak memory": figure(peak_mib(agent.pid), "MiB", below=MEMORY_MIB),
    }, took


def _change(place: Stage, count: int, changes: int) -> dict[str, object]:
    """Change so many of the models; each is loaded once more, and no other."""
    chosen = set(random.Random(7).sample(names(count), changes))
    before = place.calls()["load"]
    place.write(entry(name, version=int(name in chosen)) for name in names(count))
    took = seconds_until(
        lambda: place.calls()["load"] >= before + changes and place.loaded() == count, "all are loaded again", LIMIT
    )
    return {
        f"{count} models, {changes} changed: loads": figure(place.calls()["load"] - before, "loads", exactly=changes),
        f"{count} models, {changes} changed: until all are loaded": figure(took, "s"),
    }
