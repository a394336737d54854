"""What the agent answers over HTTP: its state, whether the pod may get requests, whether it lives, its metrics."""

from __future__ import annotations

from aiohttp import web

from manyserve.agent.job import AgentContext
from manyserve.agent.loop import Agent
from manyserve.prometheus import metrics_response

MAX_WAIT = 60.0
STALE_SECONDS = 60.0


def application(agent: Agent, shop: AgentContext) -> web.Application:
    """Return the application."""
    answers = Answers(agent, shop)
    app = web.Application()
    app.router.add_get("/status", answers.status)
    app.router.add_get("/readyz", answers.readyz)
    app.router.add_get("/healthz", answers.healthz)
    app.router.add_get("/metrics", answers.metrics)
    return app


class Answers:
    """The answers, one method a path."""

    def __init__(self, agent: Agent, shop: AgentContext) -> None:
        self._agent = agent
        self._shop = shop

    async def status(self, request: web.Request) -> web.Response:
        """Answer with the report; at once if the caller does not know it, else when it changes or the wait is over."""
        query = request.query
        try:
            after = int(query["after"]) if "after" in query else None
            wait = min(max(float(query.get("wait", 0)), 0.0), MAX_WAIT)
        except ValueError:
            return web.Response(status=400, text="after must be a whole number, wait a number of seconds\n")
        await self._agent.board.wait(after, query.get("instance"), wait)
        return web.Response(body=self._agent.board.body(), content_type="application/json")

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer 200 when the pod is settled, by this agent or one before it, and the server answers."""
        report = self._agent.board.report
        if not report.server_ready:
            return web.Response(status=503, text="the model server does not answer\n")
        if not report.settled:
            why = "the first models are not loaded yet" if report.config else "there is no models.json yet"
            return web.Response(status=503, text=f"{why}\n")
        return web.Response(text="ready\n")

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer 200 while the loop turns."""
        stale = self._shop.clock() - self._agent.beat
        if stale > STALE_SECONDS:
            return web.Response(status=503, text=f"the loop has not turned for {stale:.0f} s\n")
        return web.Response(text="ok\n")

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer with the metrics in Prometheus' text format."""
        return metrics_response(self._shop.metrics.registry)
