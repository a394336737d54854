"""Router poller: one long poll for each running router of a heterogeneous host."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp

from manyserve.api.names import Key
from manyserve.api.routerenv import ROUTER_PORT
from manyserve.api.routerreport import RouterReport
from manyserve.api.routes import MAX_BYTES
from manyserve.cluster.state import ClusterState
from manyserve.operator.pod_poller import PodPoller
from manyserve.operator.poll_client import POLL_INTERVALS, Endpoint, Polled, PollIntervals, parsed, read_body


class RouterPoller(PodPoller[RouterReport]):
    """Keeps `router_reports` of the cluster state up to date."""

    what = "router"

    def __init__(
        self,
        state: ClusterState,
        enqueue: Callable[[Key], None],
        intervals: PollIntervals = POLL_INTERVALS,
        port: int = ROUTER_PORT,
    ) -> None:
        super().__init__(state, state.router_reports, state.routers, enqueue, intervals)
        self._port = port

    async def _poll(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, last: Polled[RouterReport] | None
    ) -> Polled[RouterReport]:
        url, report = f"http://{endpoint.address}:{self._port}/status", last.report if last else None
        wait = str(self._intervals.wait)
        params = {"after": str(report.revision), "instance": report.instance, "wait": wait} if report else {}
        async with session.get(url, params=params, allow_redirects=False) as response:
            body = await read_body(response, MAX_BYTES)
        return await parsed(url, body, last, RouterReport.model_validate_json)
