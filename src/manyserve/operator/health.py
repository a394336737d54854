"""Whether the operator is alive, whether it is ready, and its metrics, over HTTP.

Alive: every informer has turned within 90 seconds (a stream that is silent for 75 is given up, so one that
has not is stuck), so has the election, no task has ended, and the queue gets on. An API server that is away is
no reason to be restarted. Ready: everything has been listed once, there is a configuration, and we may use the
Lease; a replica that waits for its turn is ready.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from prometheus_client import REGISTRY

from manyserve.cluster.fence import running_time
from manyserve.cluster.informer import Informer
from manyserve.http_server import HttpServer
from manyserve.operator import metrics
from manyserve.operator.leader_election import LeaderElector
from manyserve.prometheus import metrics_response

STALE = 90.0
LOOK = 0.05
_Handler = Callable[[web.Request], Awaitable[web.Response]]
Check = Callable[[], str | None]
"""Returns the sentence for what is wrong, or None."""


def stale_watches(informers: Iterable[Informer], clock: Callable[[], float] = time.monotonic) -> str | None:
    """Return which watches are stuck."""
    stuck = dict.fromkeys(each.kind.plural for each in informers if clock() - each.last_turn > STALE)
    return f"watches that are stuck: {', '.join(stuck)}" if stuck else None


def stuck_election(elector: LeaderElector | None, clock: Callable[[], float] = running_time) -> str | None:
    """Return whether nobody looks at the Lease any more."""
    last = elector.last_attempt if elector else None
    return "the Lease is not looked at any more" if last is not None and clock() - last > STALE else None


def unsynced(informers: Iterable[Informer]) -> str | None:
    """Return which kinds have not been listed yet."""
    missing = dict.fromkeys(each.kind.plural for each in informers if not each.settled.is_set())
    return f"not listed yet: {', '.join(missing)}" if missing else None


class HealthServer:
    """Serves /healthz and /readyz on one port and /metrics on another."""

    def __init__(self, alive: Check, ready: Check) -> None:
        self._alive = alive
        self._ready = ready
        self._servers: list[HttpServer] = []

    async def start(self, health_port: int, metrics_port: int) -> None:
        """Listen. Raises `StartupError` when a port is in use."""
        await self._listen(health_port, {"/healthz": _answer(self._alive), "/readyz": _answer(self._ready)})
        await self._listen(metrics_port, {"/metrics": _metrics})

    async def stop(self) -> None:
        """Stop listening."""
        for server in self._servers:
            await server.stop()

    async def _listen(self, port: int, routes: dict[str, _Handler]) -> None:
        app = web.Application()
        for path, handler in routes.items():
            app.router.add_get(path, handler)
        self._servers.append(server := HttpServer(app, port))
        await server.start()


async def watch_lag() -> None:
    """Measure how late the event loop is, and how long it was kept by our own work at most, until cancelled.

    The work is bounded by the processor time that all our threads took, for whichever runs may keep the others.
    """
    while True:
        began, worked = time.monotonic(), time.process_time()
        await asyncio.sleep(LOOK)
        late = max(time.monotonic() - began - LOOK, 0.0)
        metrics.LOOP_LAG.observe(late)
        metrics.LOOP_BLOCKED.observe(min(late, time.process_time() - worked))


def _answer(check: Check) -> _Handler:
    async def handle(_request: web.Request) -> web.Response:
        wrong = check()
        return web.Response(text=wrong or "ok", status=503 if wrong else 200)

    return handle


async def _metrics(_request: web.Request) -> web.Response:
    return metrics_response(REGISTRY)
