"""Rules of the proxy: the requests that they match, and their actions.

A rule matches by verb, path, client and chance. It passes the first matches, acts on a limited number, and then
stops. Its action is a function that answers instead of the API server, or that spoils the server's response.
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
    """One rule. Only the first rule that acts on a request does so."""

    do: Do
    what: str
    """Name of the action, for the history."""
    verbs: tuple[str, ...] = ()
    """Empty: all."""
    path: str = ""
    """A regular expression that is searched for in path and query."""
    client: str = ""
    """Empty: all."""
    first: int = 1
    """Number of the first match on which the rule acts."""
    count: int | None = None
    """Number of requests on which the rule acts; None: all."""
    chance: float = 1.0
    dice: random.Random | None = None
    seen: int = 0
    """Number of matches."""
    done: int = 0
    """Number of requests on which the rule acted."""

    def acts(self, verb: str, path: str, client: str) -> bool:
        """Return whether the rule acts on this request, and count it."""
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
    """Answer with an error in the API server's form, without forwarding the request."""
    text = json.dumps({"kind": "Status", "apiVersion": "v1", "code": status, "message": f"a fault: {status}"})
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    async def do(_exchange: Exchange) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers=headers, content_type="application/json")

    return do


async def refuse(exchange: Exchange) -> web.StreamResponse:
    """Reset the connection without forwarding the request."""
    return exchange.reset()


async def lose_the_answer(exchange: Exchange) -> web.StreamResponse:
    """Forward the request, and reset the connection instead of answering."""
    await exchange.forward()
    return exchange.reset()


def delay(seconds: float) -> Do:
    """Forward the request after a delay."""

    async def do(exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await exchange.forward()

    return do


async def serve_an_old_list(exchange: Exchange) -> web.StreamResponse:
    """Answer with the first recorded list of this path, or with the present one."""
    old = exchange.lists.get(exchange.path)
    if old is None:
        return await exchange.forward()
    return web.Response(body=old, content_type="application/json")
