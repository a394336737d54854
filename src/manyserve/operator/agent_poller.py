"""Agent poller: one long poll for each running replica of a host.

An agent responds when its report changes, or after 5 s. The report is stored by the uid of its pod, and the host is
enqueued. A report is dropped when connections fail for 3 s, or a response is 3 s late: `Ready` falls then, since the
state of the pod is unknown. These connections are separate from the 32 to the API server. The size of a response and
the time to parse it are limited. Only the leader polls. A new leader has all reports after one round trip.

A poll of a pod that was never ready carries its hold. It is computed from the newest reports when the poll is sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import aiohttp

from manyserve.api.agentreport import AGENT_PORT, AgentReport
from manyserve.api.names import Key
from manyserve.cluster.state import ClusterState
from manyserve.operator.agent_client import (
    PARSE_FACTOR,
    POLL_INTERVALS,
    AgentEndpoint,
    BadReport,
    PolledReport,
    PollIntervals,
    endpoint_of,
    poll,
)
from manyserve.operator.rollout import hold_of
from manyserve.redaction import one_line

_log = logging.getLogger(__name__)


class AgentPoller:
    """Keeps `reports` of the cluster state up to date, between `open` and `close`.

    Parameters
    ----------
    enqueue
        Called with the host of a pod when its report changed.
    """

    def __init__(
        self,
        state: ClusterState,
        enqueue: Callable[[Key], None],
        intervals: PollIntervals = POLL_INTERVALS,
        port: int = AGENT_PORT,
    ) -> None:
        self._state = state
        self._enqueue = enqueue
        self._intervals = intervals
        self._port = port
        self._tasks: dict[str, tuple[AgentEndpoint, asyncio.Task[None]]] = {}
        self._polled: defaultdict[Key, set[str]] = defaultdict(set)
        """Uids of the polled pods of each host."""
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Start to poll the running pods."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=2),
            timeout=aiohttp.ClientTimeout(
                total=self._intervals.wait + self._intervals.drop_after, sock_connect=self._intervals.drop_after
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        for host in list(self._state.pods):
            self.update_host(host)

    async def close(self) -> None:
        """Stop all polls, and drop all reports."""
        for _, task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._tasks.values()), return_exceptions=True)
        self._tasks.clear()
        self._polled.clear()
        self._state.reports.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def wait_first_reports(self) -> None:
        """Wait until each polled pod has a report or is unreachable.

        A plan before that would count the models of unpolled pods as lost: after each restart of the operator every
        `Ready` would fall and rise again. The limit is twice the time after which a report is dropped, for a pod that
        accepts connections and stays silent.
        """
        waits = [asyncio.create_task(endpoint.settled.wait()) for endpoint, _ in self._tasks.values()]
        if waits:
            _, silent = await asyncio.wait(waits, timeout=2 * self._intervals.drop_after)
            for task in silent:
                task.cancel()

    @property
    def healthy(self) -> bool:
        """Whether all polls run."""
        return not any(task.done() for _, task in self._tasks.values())

    def count(self, host: Key) -> tuple[int, int]:
        """Return the numbers of polled pods of a host with a report, and without one."""
        polled = self._polled.get(host, set())
        reporting = sum(uid in self._state.reports for uid in polled)
        return reporting, len(polled) - reporting

    def update_host(self, host: Key) -> None:
        """Start or stop polls, so that the running replicas of a host are polled. Before `open` nothing is polled."""
        if self._session is None:
            return
        endpoints = [endpoint for pod in self._state.replicas(host) if (endpoint := endpoint_of(pod))]
        for uid in self._polled.get(host, set()) - {each.uid for each in endpoints}:
            self._stop(uid)
        for endpoint in endpoints:
            self._start(endpoint)

    def _start(self, endpoint: AgentEndpoint) -> None:
        polled = self._tasks.get(endpoint.uid)
        if polled and polled[0] == endpoint:
            return
        self._stop(endpoint.uid)
        self._polled[endpoint.host].add(endpoint.uid)
        self._tasks[endpoint.uid] = (
            endpoint,
            asyncio.create_task(self._run_poll(endpoint), name=f"agent of {endpoint.uid}"),
        )

    def _stop(self, uid: str) -> None:
        polled = self._tasks.pop(uid, None)
        if polled:
            endpoint, task = polled
            task.cancel()
            self._polled[endpoint.host].discard(uid)
            if not self._polled[endpoint.host]:
                del self._polled[endpoint.host]
            self._drop(endpoint)

    async def _run_poll(self, endpoint: AgentEndpoint) -> None:
        """Poll one pod until cancelled."""
        report, failing_since, failures = None, None, 0
        while True:
            try:
                report = await self._poll(endpoint, report)
                self._store(endpoint, report.report)
                failing_since, failures = None, 0
                await asyncio.sleep(max(self._intervals.pause, PARSE_FACTOR * report.seconds))
            except (aiohttp.ClientError, TimeoutError, OSError, BadReport) as error:
                failing_since = failing_since or time.monotonic()
                silent = isinstance(error, TimeoutError)  # longer than an agent may wait: its node may be gone
                if silent or time.monotonic() - failing_since >= self._intervals.drop_after:
                    self._drop(endpoint, error)
                    report = None
                failures += 1
                await asyncio.sleep(self._intervals.retry.delay(failures))

    async def _poll(self, endpoint: AgentEndpoint, last: PolledReport | None) -> PolledReport:
        if self._session is None:
            raise RuntimeError("agents are polled only after `open`")
        url = f"http://{endpoint.address}:{self._port}/status"
        was_ready = last is not None and last.report.settled
        hold = None if was_ready else hold_of(self._state, endpoint.host, endpoint.uid)
        wanted = partial(self._state.model_names, endpoint.host)
        return await poll(self._session, url, last, self._intervals.wait, hold, wanted=wanted)

    def _store(self, endpoint: AgentEndpoint, report: AgentReport) -> None:
        endpoint.settled.set()
        if self._state.reports.get(endpoint.uid) != report:
            self._state.reports[endpoint.uid] = report
            self._enqueue(endpoint.host)

    def _drop(self, endpoint: AgentEndpoint, error: Exception | None = None) -> None:
        endpoint.settled.set()
        if self._state.reports.pop(endpoint.uid, None) is not None:
            reason = one_line(error or "the pod ends")
            _log.warning("%s: agent at %s is unreachable: %s", endpoint.host, endpoint.address, reason)
            self._enqueue(endpoint.host)
