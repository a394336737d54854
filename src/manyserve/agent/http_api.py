"""HTTP API of the agent: status, readiness, liveness, metrics, traffic and routes."""

from __future__ import annotations

from aiohttp import web

from manyserve.agent.job import AgentContext
from manyserve.agent.loop import Agent
from manyserve.agent.routes.handlers import RouteHandlers
from manyserve.agent.traffic import TrafficPage
from manyserve.prometheus import MetricsPage

MAX_WAIT = 60.0
STALE_SECONDS = 60.0


def application(agent: Agent, context: AgentContext) -> web.Application:
    """Return the application."""
    handlers = Handlers(agent, context)
    app = web.Application()
    app.router.add_get("/status", handlers.status)
    app.router.add_get("/readyz", handlers.readyz)
    app.router.add_get("/healthz", handlers.healthz)
    app.router.add_get("/metrics", handlers.metrics)
    settings = context.settings
    server = (settings.server_dialect, settings.server_metrics_url)
    traffic = TrafficPage(context.instance, *server, context.clock, lambda: context.state.answering)
    app.router.add_get("/traffic", traffic.get)
    if settings.routers:
        routes = RouteHandlers(context.routing)
        app.router.add_get("/routes", routes.get)
        app.router.add_delete("/routes", routes.delete)
    return app


class Handlers:
    """One handler for each path."""

    def __init__(self, agent: Agent, context: AgentContext) -> None:
        self._agent = agent
        self._context = context
        self._metrics = MetricsPage(context.metrics.registry, context.clock)

    async def status(self, request: web.Request) -> web.Response:
        """Answer a long poll with the report: at once if the caller has another one, else at the next change.

        A hold in the request is put in force first.
        """
        query = request.query
        try:
            after = int(query["after"]) if "after" in query else None
            wait = min(max(float(query.get("wait", 0)), 0.0), MAX_WAIT)
            hold = _hold(query["hold"]) if "hold" in query else None
        except ValueError:
            return web.Response(status=400, text="after must be a whole number, wait and hold numbers of seconds\n")
        if hold is not None:
            self._agent.hold(hold)
        await self._agent.publisher.wait(after, query.get("instance"), wait)
        return web.Response(body=self._agent.publisher.body(), content_type="application/json")

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer 200 when the pod is settled, by this agent or one before it, and the server answers."""
        report = self._agent.publisher.report
        if not report.server_ready:
            return web.Response(status=503, text="the model server does not answer\n")
        if not report.settled:
            reason = "the pod waits for models" if report.config else "there is no models.json yet"
            return web.Response(status=503, text=f"{reason}\n")
        return web.Response(text="ready\n")

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer 200 while the reconcile loop runs."""
        stalled = self._context.clock() - self._agent.last_pass
        if stalled > STALE_SECONDS:
            return web.Response(status=503, text=f"the reconcile loop has stalled for {stalled:.0f} s\n")
        return web.Response(text="ok\n")

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer with the metrics in Prometheus' text format."""
        return self._metrics.response()


def _hold(text: str) -> float:
    """Parse a hold. Raises `ValueError`."""
    seconds = float(text)
    if not seconds >= 0:  # also NaN
        raise ValueError
    return seconds
