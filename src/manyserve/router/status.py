"""HTTP API of the router program: readiness, liveness, metrics, status, and the hook before Envoy's stop."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from manyserve.prometheus import MetricsPage
from manyserve.router.program import Router
from manyserve.router.report import ReportPage
from manyserve.router.stop import Stop


def application(router: Router, stop: Stop, clock: Callable[[], float]) -> web.Application:
    """Return the application."""
    page = MetricsPage(router.metrics.registry, clock)

    async def readyz(_: web.Request) -> web.Response:
        """Answer 200 when Envoy has the routes of all agents."""
        problem = await router.readiness_problem()
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ready'}\n")

    async def healthz(_: web.Request) -> web.Response:
        """Answer 200 while the event loop runs."""
        return web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        """Answer with the metrics in Prometheus' text format."""
        return page.response()

    async def drain(_: web.Request) -> web.Response:
        """Answer when Envoy has no more requests: the hook before the stop of its container."""
        await stop.until_drained()
        return web.Response(text="drained\n")

    app = web.Application()
    for path, handler in {
        "/readyz": readyz,
        "/healthz": healthz,
        "/metrics": metrics,
        "/status": ReportPage(router, clock).get,
        "/drain": drain,
    }.items():
        app.router.add_get(path, handler)
    return app
