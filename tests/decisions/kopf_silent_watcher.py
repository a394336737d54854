"""Run kopf against a watch that sends ERROR 500: its watcher ends, and no list or watch follows.

Up to kopf 1.44 the operator lives on without its watcher. kopf 1.45 ends the operator with the error.
`python -m tests.decisions.kopf_silent_watcher` prints the result as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
from importlib.metadata import version
from typing import Any

import kopf

from tests.decisions.kopf_server import GROUP, PLURAL, VERSION, KopfServer, kopf_runs, until, watchers

OBSERVED = 20.0
"""Seconds in which another request or the end of the operator would have to come. kopf 1.45 ends in about 5 s."""


async def reproduce() -> dict[str, object]:
    """Return the state of the operator after the error."""
    server, registry = KopfServer(["a"], ["a", "b"], errors=(500,)), kopf.OperatorRegistry()
    seen: set[str] = set()
    logging.disable(logging.ERROR)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def event(name: str, **_: Any) -> None:
        seen.add(name)

    async with kopf_runs(server, registry) as operator:
        started = await until(lambda: server.requests == 2)
        ended = await until(lambda: not watchers())
        await until(lambda: server.requests > 2 or operator.done(), OBSERVED)
        return {
            "kopf": version("kopf"),
            "watcher_started": started,
            "watcher_ended": ended,
            "operator": _state(operator),
            "further_requests": server.requests - 2,
            "objects_seen": sorted(seen),
        }


def _state(operator: asyncio.Task[None]) -> str:
    if not operator.done():
        return "runs"
    return f"ended: {type(operator.exception()).__name__}"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(reproduce())))
