"""Report of a router program to the operator: the long poll `/status`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from pydantic_core import to_json

from manyserve.api.routerreport import RouterReport
from manyserve.api.routes import MAX_WAIT
from manyserve.router.program import Router

CHECK_SECONDS = 0.5
"""Time between two checks of Envoy while a poll waits. A change of the routes ends the poll at once."""
_PARAMETERS = "after must be a whole number, and wait a number of seconds\n"


class ReportPage:
    """Report of one router, with a revision that changes with its content."""

    def __init__(self, router: Router, clock: Callable[[], float]) -> None:
        self._router = router
        self._clock = clock
        self._instance = secrets.token_hex(8)
        self._revision = 0
        self._content: tuple[object, ...] | None = None

    async def get(self, request: web.Request) -> web.Response:
        """Answer when the report is another one than the operator has, or when the wait is over."""
        try:
            after, seconds = int(request.query.get("after", "0")), float(request.query.get("wait", "0"))
        except ValueError:
            return web.Response(status=400, text=_PARAMETERS)
        is_same = request.query.get("instance") == self._instance
        end = self._clock() + min(max(seconds, 0.0), MAX_WAIT) if is_same else 0.0
        problem = await self._refreshed()
        while self._revision == after and (left := end - self._clock()) > 0:
            await self._router.wait_for_change(min(left, CHECK_SECONDS))
            problem = await self._refreshed()
        return web.Response(body=self._body(problem), content_type="application/json")

    async def _refreshed(self) -> str:
        """Return why the router is not ready, and count a changed report."""
        problem, router = await self._router.readiness_problem(), self._router
        content = (problem, router.xds.nack, router.pods_file.hash, router.pods_file.error, router.state.led.revision)
        if content != self._content:
            self._content = content
            self._revision += 1
        return problem

    def _body(self, problem: str) -> bytes:
        router = self._router
        report = RouterReport(
            instance=self._instance,
            revision=self._revision,
            ready=not problem,
            problem=problem,
            nack=router.xds.nack,
            pods=router.pods_file.hash,
            pods_error=router.pods_file.error,
            models=router.state.led.models,
        )
        return to_json(report.to_wire() | {"models": sorted(report.models), "agents": self._agents()})

    def _agents(self) -> Mapping[str, Any]:
        """Return the agents as the router sees them, for people: the operator does not read them."""
        return {
            uid: {"instance": view.instance, "have": view.have, "seen": view.seen, "routed": view.has_endpoints}
            for uid, view in self._router.state.views.items()
        }
