"""HTTP handlers of `/routes`, the long poll of routers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from manyserve.agent.routes.routing import Routing
from manyserve.api.routes import MAX_COUNT, MAX_WAIT, ROUTER_ID

_PARAMETERS = (
    "router must be 1 to 63 letters, digits, dots, hyphens or underscores, "
    "have and seen whole numbers, and wait a number of seconds\n"
)


@dataclass(frozen=True)
class Poll:
    """Parameters of one poll. Revisions of another instance are 0."""

    router: str
    have: int = 0
    seen: int = 0
    wait: float = 0.0


def read_poll(query: Mapping[str, str], instance: str) -> Poll:
    """Parse the parameters. Raises `ValueError`."""
    router = query.get("router", "")
    have, seen = (_revision(query.get(name, "0")) for name in ("have", "seen"))
    wait = float(query.get("wait", "0"))
    if not ROUTER_ID.fullmatch(router) or not wait >= 0:  # also NaN
        raise ValueError(_PARAMETERS)
    if query.get("instance") != instance:
        have = seen = 0
    return Poll(router, have, seen, min(wait, MAX_WAIT))


def _revision(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(MAX_COUNT)):
        raise ValueError(_PARAMETERS)
    return int(text)


class RouteHandlers:
    """Handlers of one agent."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing

    async def get(self, request: web.Request) -> web.Response:
        """Answer with the routes after the revision that the router has, or without them when the wait is over."""
        table = self._routing.table
        try:
            poll = read_poll(request.query, table.instance)
        except ValueError:
            return web.Response(status=400, text=_PARAMETERS)
        if not self._routing.hear(poll.router, poll.seen):
            return web.Response(status=429, text="too many routers poll this agent\n")
        if not table.revision:
            return web.Response(status=503, text="the agent has not read its models.json and its server's index yet\n")
        await table.wait(poll.have, poll.wait)
        return web.Response(body=table.body(poll.have), content_type="application/json")

    async def delete(self, request: web.Request) -> web.Response:
        """End a router's part in acknowledgements."""
        self._routing.forget(request.query.get("router", ""))
        return web.Response(status=204)
