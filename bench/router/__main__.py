"""Costs of the router, into `reports/heterogeneous.json`: `python -m bench.router [MODELS]`, 1,000 by default."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.support.figures import Figures

from bench.router.client import Client, latencies, p50, p99
from bench.router.stage import ADDRESSES, Stage, stage

ROUNDS, REQUESTS = 20, 50
TRIALS = 20
AT_ONCE = 200
MIB = 1024


async def main(count: int) -> None:
    """Measure, print and write all figures."""
    models = [f"model-{number}" for number in range(count)]
    figures = Figures("heterogeneous")
    with tempfile.TemporaryDirectory() as folder:
        async with stage(Path(folder), models) as running:
            await _latency(running, models, figures)
            await _one_more(running, figures, count)
            _memory(running, figures, count)
    print("\n".join(figures.write()))


async def _latency(running: Stage, models: list[str], figures: Figures) -> None:
    targets = {
        "direct": Client(ADDRESSES[0], running.rig.ports.http),
        "plain Envoy": Client("127.0.0.1", running.plain),
        "router": Client("127.0.0.1", running.rig.router.http_port),
    }
    await asyncio.to_thread(latencies, targets, models, 2, REQUESTS)  # connections are opened
    taken = await asyncio.to_thread(latencies, targets, models, ROUNDS, REQUESTS)
    for name, seconds in taken.items():
        figures.take(f"{name}, {len(models)} models: p50", 1e6 * p50(seconds), "µs")
        figures.take(f"{name}, {len(models)} models: p99", 1e6 * p99(seconds), "µs")
    plain, router = taken["plain Envoy"], taken["router"]
    goal = 1.5 if len(models) <= 1000 else None
    figures.take(f"router beside plain Envoy, {len(models)} models: p50", p50(router) / p50(plain), "times", below=goal)
    figures.take(f"router beside plain Envoy, {len(models)} models: p99", p99(router) / p99(plain), "times")


async def _one_more(running: Stage, figures: Figures, count: int) -> None:
    router = Client("127.0.0.1", running.rig.router.http_port)
    floor = Client("127.0.0.1", running.floor.http_port)
    one, least = [], []
    for trial in range(TRIALS):
        name = f"new-{trial}"
        started = time.perf_counter()
        running.change_floor(name, trial + 2)
        least.append(await asyncio.to_thread(floor.until_answers, name) - started)
        started = time.perf_counter()
        running.pods[0].load(name)
        one.append(await asyncio.to_thread(router.until_answers, name) - started)
    names = [f"more-{number}" for number in range(AT_ONCE)]
    started = time.perf_counter()
    running.pods[1].load(*names)
    many = await asyncio.to_thread(router.until_answers, *names) - started
    figures.take("floor, one route by the same stream: median", 1e3 * median(least), "ms")
    figures.take(f"one more model beside {count}: median", 1e3 * median(one), "ms")
    figures.take(f"one more model beside {count}, beside the floor", median(one) / median(least), "times", below=10)
    figures.take(f"{AT_ONCE} models at once beside {count}", 1e3 * many, "ms")
    figures.take(f"{AT_ONCE} models at once beside one more", many / median(one), "times", below=5)


def _memory(running: Stage, figures: Figures, count: int) -> None:
    for name, goal in (("envoy", 400), ("program", 100)):
        pid = running.rig.router.running[name].pid
        status = Path(f"/proc/{pid}/status").read_text()
        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        figures.take(f"memory of {name}, {count} models with two copies", kib / MIB, "MiB", below=goal)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
