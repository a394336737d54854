"""Polls of the pods of hosts: one task for each pod, with a client for agents, routers or traffic.

A program in a pod responds when its report changes, or after 5 s. The report is stored by the uid of its pod, and the
host is enqueued. A report is dropped when connections fail for 3 s, or a response is 3 s late: `Ready` falls then,
since the state of the pod is unknown. These connections are separate from the 32 to the API server. The size of a
response and the time to parse it are limited. Only the leader polls. A new leader has all reports after one round trip.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import ClassVar, Generic, TypeVar

import aiohttp

from manyserve.api.names import Key
from manyserve.cluster.state import ClusterState
from manyserve.cluster.store import Manifest
from manyserve.operator.poll_client import (
    PARSE_FACTOR,
    POLL_INTERVALS,
    BadReport,
    Endpoint,
    Polled,
    PollIntervals,
    endpoint_of,
)
from manyserve.redaction import one_line

Report = TypeVar("Report")
_log = logging.getLogger(__name__)


class PodPoller(ABC, Generic[Report]):
    """Keeps the reports of one kind of pods up to date, between `open` and `close`.

    Parameters
    ----------
    reports
        The reports by the uid of their pod.
    pods_of
        Returns the pods of a host to poll.
    enqueue
        Called with the host of a pod when its report changed.
    """

    what: ClassVar[str]
    """The polled program, in names of tasks and in log lines."""

    def __init__(
        self,
        state: ClusterState,
        reports: dict[str, Report],
        pods_of: Callable[[Key], Iterable[Manifest]],
        enqueue: Callable[[Key], None],
        intervals: PollIntervals = POLL_INTERVALS,
    ) -> None:
        self._state = state
        self._reports = reports
        self._pods_of = pods_of
        self._enqueue = enqueue
        self._intervals = intervals
        self._tasks: dict[str, tuple[Endpoint, asyncio.Task[None]]] = {}
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
        """Stop all polls, and drop all reports. Meanwhile no poll starts."""
        session, self._session = self._session, None
        for _, task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._tasks.values()), return_exceptions=True)
        self._tasks.clear()
        self._polled.clear()
        self._reports.clear()
        if session is not None:
            await session.close()

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
        reporting = sum(uid in self._reports for uid in polled)
        return reporting, len(polled) - reporting

    def update_host(self, host: Key) -> None:
        """Start or stop polls, so that the running pods of a host are polled. Before `open` nothing is polled."""
        if self._session is None:
            return
        endpoints = [endpoint for pod in self._pods_of(host) if (endpoint := endpoint_of(pod))]
        for uid in self._polled.get(host, set()) - {each.uid for each in endpoints}:
            self._stop(uid)
        for endpoint in endpoints:
            self._start(endpoint)

    def _start(self, endpoint: Endpoint) -> None:
        polled = self._tasks.get(endpoint.uid)
        if polled and polled[0] == endpoint:
            return
        self._stop(endpoint.uid)
        self._polled[endpoint.host].add(endpoint.uid)
        self._tasks[endpoint.uid] = (
            endpoint,
            asyncio.create_task(self._run_poll(endpoint), name=f"{self.what} of {endpoint.uid}"),
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

    async def _run_poll(self, endpoint: Endpoint) -> None:
        """Poll one pod until cancelled."""
        report, failing_since, failures = None, None, 0
        while True:
            try:
                report = await self._poll(self._opened(), endpoint, report)
                self._store(endpoint, report.report)
                failing_since, failures = None, 0
                await asyncio.sleep(max(self._intervals.pause, PARSE_FACTOR * report.seconds))
            except (aiohttp.ClientError, TimeoutError, OSError, BadReport) as error:
                failing_since = failing_since or time.monotonic()
                silent = isinstance(error, TimeoutError)  # longer than a pod may wait: its node may be gone
                if silent or time.monotonic() - failing_since >= self._intervals.drop_after:
                    self._drop(endpoint, error)
                    report = None
                failures += 1
                await asyncio.sleep(self._intervals.retry.delay(failures))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("pods are polled only after `open`")
        return self._session

    @abstractmethod
    async def _poll(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, last: Polled[Report] | None
    ) -> Polled[Report]:
        """Poll one pod once. Raises `BadReport`, `aiohttp.ClientError`, `TimeoutError`, or `OSError`."""

    def _store(self, endpoint: Endpoint, report: Report) -> None:
        endpoint.settled.set()
        if self._reports.get(endpoint.uid) != report:
            self._reports[endpoint.uid] = report
            self._enqueue(endpoint.host)

    def _drop(self, endpoint: Endpoint, error: Exception | None = None) -> None:
        endpoint.settled.set()
        if self._reports.pop(endpoint.uid, None) is not None:
            reason = one_line(error or "the pod ends")
            _log.warning("%s: %s at %s is unreachable: %s", endpoint.host, self.what, endpoint.address, reason)
            self._enqueue(endpoint.host)
