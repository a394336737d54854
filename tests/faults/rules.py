"""What the proxy does to which requests.

A rule matches by verb, path, client and chance, lets the first ones pass, acts on as many as it is told, and
then sleeps. What it does is a function that answers in the API server's place, or has it answer and spoils that.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from tests.faults.exchange import Exchange

Do = Callable[[Exchange], Awaitable[web.StreamResponse]]


@dataclass
class Rule:
    """One rule; the first of the proxy's that acts is the only one that does."""

    do: Do
    what: str
    """What it does, for the history."""
    verbs: tuple[str, ...] = ()
    """Empty: all."""
    path: str = ""
    """A regular expression that is searched in path and query."""
    client: str = ""
    """Empty: all."""
    first: int = 1
    """The first one of those that match that it acts on."""
    count: int | None = None
    """How many it acts on; None: all."""
    chance: float = 1.0
    dice: random.Random | None = None
    seen: int = 0
    """How many matched."""
    done: int = 0
    """How many it acted on."""

    def acts(self, verb: str, path: str, client: str) -> bool:
        """Tell whether it acts on this request, and count it."""
        if (self.verbs and verb not in self.verbs) or (self.client and client != self.client):
            return False
        if not re.search(self.path, path):
            return False
        self.seen += 1
        if self.seen < self.first or (self.count is not None and self.done >= self.count):
            return False
        if self.chance < 1 and (self.dice or random).random() >= self.chance:
            return False
        self.done += 1
        return True


def answer(status: int, *, retry_after: int | None = None) -> Do:
    """Answer with an error, as the API server words it; it did nothing."""
    text = json.dumps({"kind": "Status", "apiVersion": "v1", "code": status, "message": f"a fault: {status}"})
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    async def do(_exchange: Exchange) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers=headers, content_type="application/json")

    return do


async def refuse(exchange: Exchange) -> web.StreamResponse:
    """Break the connection; nothing happened."""
    return exchange.reset()


async def lose_the_answer(exchange: Exchange) -> web.StreamResponse:
    """Have it done, and break the connection instead of answering."""
    await exchange.forward()
    return exchange.reset()


def delay(seconds: float) -> Do:
    """Send it on later."""

    async def do(exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await exchange.forward()

    return do


async def serve_an_old_list(exchange: Exchange) -> web.StreamResponse:
    """Answer with the first list of this path that passed; the truth when none did."""
    old = exchange.lists.get(exchange.path)
    if old is None:
        return await exchange.forward()
    return web.Response(body=old, content_type="application/json")
