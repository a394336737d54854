"""Health server: liveness, readiness and metrics over HTTP.

The operator is alive when no task has ended, the queue makes progress, and each informer and the leader election have
made a step within `STALE` seconds. An informer drops a stream after 75 s of silence, so one without a step has stalled.
An unavailable API server is no reason for a restart. The operator is ready when everything has been listed once, the
configuration is valid, and the Lease is accessible. A replica that waits for the Lease is ready.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from manyserve.cluster.clock import running_time
from manyserve.cluster.informer import Informer
from manyserve.http_server import HttpServer
from manyserve.operator import metrics
from manyserve.operator.leader_election import LeaderElector
from manyserve.prometheus import MetricsPage

STALE = 90.0
"""Seconds without a step after which an informer, or the election, has stalled."""
LAG_SAMPLE_SECONDS = 0.05
_Handler = Callable[[web.Request], Awaitable[web.Response]]
Check = Callable[[], str | None]
"""Returns the problem in a sentence, or None."""


def stale_watches(informers: Iterable[Informer], clock: Callable[[], float] = time.monotonic) -> str | None:
    """Return which watches have stalled, or None."""
    stalled = dict.fromkeys(each.kind.plural for each in informers if clock() - each.last_step > STALE)
    return f"stalled watches: {', '.join(stalled)}" if stalled else None


def stuck_election(elector: LeaderElector | None, clock: Callable[[], float] = running_time) -> str | None:
    """Return whether the leader election has stalled."""
    last = elector.last_attempt if elector else None
    return "leader election stalled" if last is not None and clock() - last > STALE else None


def unsynced(informers: Iterable[Informer]) -> str | None:
    """Return which kinds have not been listed yet, or None."""
    missing = dict.fromkeys(each.kind.plural for each in informers if not each.settled.is_set())
    return f"not listed yet: {', '.join(missing)}" if missing else None


class HealthServer:
    """Server of /healthz and /readyz on one port, and of /metrics on another."""

    def __init__(self, alive: Check, ready: Check) -> None:
        self._alive = alive
        self._ready = ready
        self._servers: list[HttpServer] = []

    async def start(self, health_port: int, metrics_port: int) -> None:
        """Bind both ports. Raises `StartupError` when a port is in use."""
        await self._listen(
            health_port, {"/healthz": _health_handler(self._alive), "/readyz": _health_handler(self._ready)}
        )
        await self._listen(metrics_port, {"/metrics": _metrics_handler(MetricsPage(metrics.REGISTRY, time.monotonic))})

    async def stop(self) -> None:
        """Close both ports."""
        for server in self._servers:
            await server.stop()

    async def _listen(self, port: int, routes: dict[str, _Handler]) -> None:
        app = web.Application()
        for path, handler in routes.items():
            app.router.add_get(path, handler)
        self._servers.append(server := HttpServer(app, port))
        await server.start()


async def watch_lag() -> None:
    """Sample the lag of the event loop, and the part that our own work caused at most, until cancelled.

    That part is bounded by the CPU time of all our threads, since any of them may hold up the loop.
    """
    while True:
        began, worked = time.monotonic(), time.process_time()
        await asyncio.sleep(LAG_SAMPLE_SECONDS)
        late = max(time.monotonic() - began - LAG_SAMPLE_SECONDS, 0.0)
        metrics.LOOP_LAG.observe(late)
        metrics.LOOP_BLOCKED.observe(min(late, time.process_time() - worked))


def _health_handler(check: Check) -> _Handler:
    async def handle(_request: web.Request) -> web.Response:
        problem = check()
        return web.Response(text=problem or "ok", status=503 if problem else 200)

    return handle


def _metrics_handler(page: MetricsPage) -> _Handler:
    async def handle(_request: web.Request) -> web.Response:
        return page.response()

    return handle
