"""Measure the start of kopf.index: the CPU time until the first handler runs, by the number of objects.

`python -m tests.decisions.kopf_index 250 500 1000` prints the result as JSON, one line a number.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib.metadata import version
from typing import Any

import kopf

from tests.decisions.kopf_server import GROUP, PLURAL, VERSION, KopfServer, kopf_runs

LIMIT = 240.0
"""Seconds for one number of objects."""


async def reproduce(count: int) -> dict[str, object]:
    """Return the seconds until the first handler ran, with `count` objects listed."""
    server, registry = KopfServer([f"thing-{number}" for number in range(count)]), kopf.OperatorRegistry()
    handled = asyncio.Event()

    @kopf.index(GROUP, VERSION, PLURAL, registry=registry)
    async def names(name: str, **_: Any) -> dict[str, str]:
        return {name: name}

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def event(**_: Any) -> None:
        handled.set()

    began, cpu = time.monotonic(), time.process_time()
    async with kopf_runs(server, registry), asyncio.timeout(LIMIT):
        await handled.wait()
        return {
            "kopf": version("kopf"),
            "objects": count,
            "seconds": round(time.monotonic() - began, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
        }


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(json.dumps(asyncio.run(reproduce(int(argument)))), flush=True)
