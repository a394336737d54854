"""What the agents say: one long poll for each running pod of a host.

An agent answers when its report changes, or after 5 seconds. The report is kept by the uid of its pod, and
the host is touched. When an agent refuses connections for three seconds, or is silent for three more than it
may be, its report is dropped, so that `Ready` falls: nobody knows any more what answers there. These
connections are our own, beside the 32 to the API server, and what a pod sends is bounded. Only the replica
that works asks; to know all again takes the next one a round trip.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import aiohttp

from manyserve.api.agentreport import AGENT_PORT, AgentReport
from manyserve.api.names import Key
from manyserve.cluster.state import ClusterState
from manyserve.cluster.store import Manifest
from manyserve.operator import metrics
from manyserve.operator.agent_client import (
    POLL_INTERVALS,
    AgentEndpoint,
    BadReport,
    PolledReport,
    PollIntervals,
    poll,
    running_pod,
)

_log = logging.getLogger(__name__)


class AgentPoller:
    """Keeps `known.reports` what the agents say, between `open` and `close`.

    Parameters
    ----------
    touch
        Called with the host of a pod whose report changed.
    """

    def __init__(
        self,
        known: ClusterState,
        touch: Callable[[Key], None],
        rhythm: PollIntervals = POLL_INTERVALS,
        port: int = AGENT_PORT,
    ) -> None:
        self._known = known
        self._touch = touch
        self._rhythm = rhythm
        self._port = port
        self._tasks: dict[str, tuple[AgentEndpoint, asyncio.Task[None]]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Ask the pods that run."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=2),
            timeout=aiohttp.ClientTimeout(
                total=self._rhythm.wait + self._rhythm.unheard, sock_connect=self._rhythm.unheard
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        for pods in self._known.pods.values():
            for pod in pods.values():
                self.pod_stored(None, pod)

    async def close(self) -> None:
        """Ask no pod any more, and forget what was said."""
        for _, task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._tasks.values()), return_exceptions=True)
        self._tasks.clear()
        self._known.reports.clear()
        self._count()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def wait_first_reports(self) -> None:
        """Wait until every pod that is asked now has answered, or could not be reached for as long as counts.

        A plan made before that would take models for lost that only have not been asked about: after each
        restart of the operator every `Ready` would fall and rise again. One that accepts and then is silent
        is waited for only as long as it takes to call two others away.
        """
        asked = [asyncio.create_task(where.settled.wait()) for where, _ in self._tasks.values()]
        if asked:
            _, silent = await asyncio.wait(asked, timeout=2 * self._rhythm.unheard)
            for task in silent:
                task.cancel()

    @property
    def healthy(self) -> bool:
        """Whether nobody has stopped asking."""
        return not any(task.done() for _, task in self._tasks.values())

    def pod_stored(self, old: Manifest | None, new: Manifest | None) -> None:
        """Ask a pod from when it runs until it is on its way out; nobody is asked before `open`."""
        if self._session is None:
            return
        before = old["metadata"]["uid"] if old else None
        where = running_pod(new) if new else None
        if before and (where is None or where.uid != before):
            self._stop(before)
        if where is not None:
            self._start(where)

    def _start(self, where: AgentEndpoint) -> None:
        asked = self._tasks.get(where.uid)
        if asked and asked[0] == where:
            return
        self._stop(where.uid)
        self._tasks[where.uid] = where, asyncio.create_task(self._ask_on(where), name=f"agent of {where.uid}")
        self._count()

    def _stop(self, uid: str) -> None:
        asked = self._tasks.pop(uid, None)
        if asked:
            asked[1].cancel()
            self._drop(asked[0])
            self._count()

    async def _ask_on(self, where: AgentEndpoint) -> None:
        """Ask one pod again and again."""
        answer, failing_since, failures = None, None, 0
        while True:
            try:
                answer = await self._ask(where, answer)
                self._keep(where, answer.report)
                failing_since, failures = None, 0
                await asyncio.sleep(self._rhythm.pause)
            except (aiohttp.ClientError, TimeoutError, OSError, BadReport) as error:
                failing_since = failing_since or time.monotonic()
                silent = isinstance(error, TimeoutError)  # for longer than an agent may be: its node may be gone
                if silent or time.monotonic() - failing_since >= self._rhythm.unheard:
                    self._drop(where, error)
                    answer = None
                failures += 1
                await asyncio.sleep(self._rhythm.retry.delay(failures))

    async def _ask(self, where: AgentEndpoint, last: PolledReport | None) -> PolledReport:
        if self._session is None:
            raise RuntimeError("agents are asked only after `open`")
        url = f"http://{where.address}:{self._port}/status"
        return await poll(self._session, url, last, self._rhythm.wait)

    def _keep(self, where: AgentEndpoint, report: AgentReport) -> None:
        where.settled.set()
        if self._known.reports.get(where.uid) != report:
            self._known.reports[where.uid] = report
            self._changed(where)

    def _drop(self, where: AgentEndpoint, error: Exception | None = None) -> None:
        where.settled.set()
        if self._known.reports.pop(where.uid, None) is not None:
            _log.warning("%s: the agent at %s is not reached: %s", where.host, where.address, error or "the pod ends")
            self._changed(where)

    def _changed(self, where: AgentEndpoint) -> None:
        self._count()
        self._touch(where.host)

    def _count(self) -> None:
        reporting = len(self._known.reports)
        metrics.AGENTS.labels("reporting").set(reporting)
        metrics.AGENTS.labels("silent").set(len(self._tasks) - reporting)
