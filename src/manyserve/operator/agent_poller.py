"""Agent poller: one long poll for each running replica of a host.

A poll of a pod that was never ready carries its hold. It is computed from the newest reports when the poll is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import aiohttp

from manyserve.api.agentreport import AGENT_PORT, AgentReport
from manyserve.api.names import Key
from manyserve.cluster.state import ClusterState
from manyserve.operator.agent_client import poll
from manyserve.operator.pod_poller import PodPoller
from manyserve.operator.poll_client import POLL_INTERVALS, Endpoint, Polled, PollIntervals
from manyserve.operator.rollout import hold_of


class AgentPoller(PodPoller[AgentReport]):
    """Keeps `reports` of the cluster state up to date."""

    what = "agent"

    def __init__(
        self,
        state: ClusterState,
        enqueue: Callable[[Key], None],
        intervals: PollIntervals = POLL_INTERVALS,
        port: int = AGENT_PORT,
    ) -> None:
        super().__init__(state, state.reports, state.replicas, enqueue, intervals)
        self._port = port

    async def _poll(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, last: Polled[AgentReport] | None
    ) -> Polled[AgentReport]:
        url = f"http://{endpoint.address}:{self._port}/status"
        was_ready = last is not None and last.report.settled
        hold = None if was_ready else hold_of(self._state, endpoint.host, endpoint.uid)
        wanted = partial(self._state.model_names, endpoint.host)
        return await poll(session, url, last, self._intervals.wait, hold, wanted=wanted)
