"""What the agents say: one long poll for each running pod of a host.

An agent answers when its report changes, or after 5 seconds. The report is kept by the uid of its pod, and
the host is touched. When an agent refuses connections for three seconds, or is silent for three more than it
may be, its report is dropped, so that `Ready` falls: nobody knows any more what answers there. These
connections are our own, beside the 32 to the API server, and what a pod sends is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from pydantic import ValidationError

from manyserve.api.agentreport import AGENT_PORT, AgentReport
from manyserve.api.names import Key
from manyserve.cluster.copies import Manifest
from manyserve.cluster.known import Known, labelled_host
from manyserve.operator import metrics

LARGEST_REPORT = 16 * 2**20

_log = logging.getLogger(__name__)


class _BadReport(Exception):
    """A pod answered, but not with a report."""


@dataclass(frozen=True)
class Rhythm:
    """How agents are asked, in seconds."""

    wait: int = 5
    """How long an agent may hold back its answer."""
    pause: float = 0.2
    """Between two answers: an agent that loads a hundred models need not be asked a hundred times."""
    first_retry: float = 0.2
    longest_retry: float = 1.0
    unheard: float = 3.0
    """After this long without an answer the report is dropped."""


RHYTHM = Rhythm()


@dataclass(frozen=True)
class _Where:
    """A pod to be asked."""

    uid: str
    host: Key
    address: str
    settled: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    """Set when it is known what the pod says, or that it cannot be reached."""


class Replicas:
    """Keeps `known.reports` what the agents say, between `open` and `close`.

    Parameters
    ----------
    touch
        Called with the host of a pod whose report changed.
    """

    def __init__(
        self, known: Known, touch: Callable[[Key], None], rhythm: Rhythm = RHYTHM, port: int = AGENT_PORT
    ) -> None:
        self._known = known
        self._touch = touch
        self._rhythm = rhythm
        self._port = port
        self._tasks: dict[str, tuple[_Where, asyncio.Task[None]]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Have connections to the pods."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=2),
            timeout=aiohttp.ClientTimeout(
                total=self._rhythm.wait + self._rhythm.unheard, sock_connect=self._rhythm.unheard
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Ask no pod any more."""
        for uid in list(self._tasks):
            self._stop(uid)
        if self._session is not None:
            await self._session.close()

    async def heard(self) -> None:
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
        """Ask a pod from when it runs until it is on its way out."""
        before = old["metadata"]["uid"] if old else None
        where = _where(new) if new else None
        if before and (where is None or where.uid != before):
            self._stop(before)
        if where is not None:
            self._start(where)

    def _start(self, where: _Where) -> None:
        asked = self._tasks.get(where.uid)
        if asked and asked[0] == where:
            return
        self._stop(where.uid)
        self._tasks[where.uid] = where, asyncio.create_task(self._ask_on(where), name=f"agent of {where.uid}")

    def _stop(self, uid: str) -> None:
        asked = self._tasks.pop(uid, None)
        if asked:
            asked[1].cancel()
            self._drop(asked[0])

    async def _ask_on(self, where: _Where) -> None:
        """Ask one pod again and again."""
        failing_since, pause = None, self._rhythm.first_retry
        while True:
            try:
                self._keep(where, await self._ask(where))
                failing_since, pause = None, self._rhythm.first_retry
                await asyncio.sleep(self._rhythm.pause)
            except (aiohttp.ClientError, TimeoutError, OSError, _BadReport) as error:
                failing_since = failing_since or time.monotonic()
                silent = isinstance(error, TimeoutError)  # for longer than an agent may be: its node may be gone
                if silent or time.monotonic() - failing_since >= self._rhythm.unheard:
                    self._drop(where, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._rhythm.longest_retry)

    async def _ask(self, where: _Where) -> AgentReport:
        if self._session is None:
            raise RuntimeError("agents are asked only after `open`")
        last = self._known.reports.get(where.uid)
        params = (
            {"after": str(last.revision), "instance": last.instance, "wait": str(self._rhythm.wait)} if last else {}
        )
        url = f"http://{where.address}:{self._port}/status"
        async with self._session.get(url, params=params, allow_redirects=False) as answer:
            body = await _bounded(answer)
        try:
            return AgentReport.model_validate_json(body)
        except ValidationError as error:
            raise _BadReport(f"{url} answered what is no report: {error.errors()[0]['msg']}") from None

    def _keep(self, where: _Where, report: AgentReport) -> None:
        where.settled.set()
        if self._known.reports.get(where.uid) != report:
            self._known.reports[where.uid] = report
            self._changed(where)

    def _drop(self, where: _Where, error: Exception | None = None) -> None:
        where.settled.set()
        if self._known.reports.pop(where.uid, None) is not None:
            _log.warning("%s: the agent at %s is not reached: %s", where.host, where.address, error or "the pod ends")
            self._changed(where)

    def _changed(self, where: _Where) -> None:
        metrics.AGENTS.set(len(self._known.reports))
        self._touch(where.host)


def _where(pod: Manifest) -> _Where | None:
    """Return where to ask a pod, or None when it does not run."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    address = status.get("podIP")
    if not address or status.get("phase") != "Running" or metadata.get("deletionTimestamp"):
        return None
    return _Where(metadata["uid"], labelled_host(pod), f"[{address}]" if ":" in address else address)


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body of a good answer that is not too long."""
    if answer.status != 200:
        raise _BadReport(f"{answer.url} answered {answer.status}")
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > LARGEST_REPORT:
            raise _BadReport(f"{answer.url} answered more than {LARGEST_REPORT} bytes")
    return bytes(body)
