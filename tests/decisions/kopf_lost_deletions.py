"""Delete an object while a watch is expired (410 Gone): kopf lists again, and reports no deletion.

`python -m tests.decisions.kopf_lost_deletions` prints the result as JSON.
"""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from typing import Any

import kopf

from tests.decisions.kopf_server import GROUP, PLURAL, VERSION, KopfServer, kopf_runs, until

OBSERVED = 3.0
"""Seconds in which the deletion would have to be reported after the second list."""


async def reproduce() -> dict[str, object]:
    """Return the events and the index after `b` was deleted and `c` was created during the gap."""
    server, registry = KopfServer(["a", "b"], ["a", "c"], errors=(410,)), kopf.OperatorRegistry()
    events: list[tuple[str | None, str]] = []
    indexed: set[str] = set()

    @kopf.index(GROUP, VERSION, PLURAL, id="names", registry=registry)
    async def names(name: str, **_: Any) -> dict[str, str]:
        return {name: name}

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def event(type: Any, name: str, **others: Any) -> None:  # noqa: A002  the name is kopf's
        events.append((type, name))
        indexed.clear()
        indexed.update(others["names"])

    async with kopf_runs(server, registry):
        listed_again = await until(lambda: "c" in {name for _, name in events})
        await until(lambda: ("DELETED", "b") in events, OBSERVED)
        return {
            "kopf": version("kopf"),
            "listed_again": listed_again,
            "deletion_reported": ("DELETED", "b") in events,
            "index": sorted(indexed),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(reproduce())))
