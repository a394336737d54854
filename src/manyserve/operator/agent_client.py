"""Long-poll client of one agent: its address, one request, and the report or an error."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

import aiohttp
from pydantic import ValidationError

from manyserve.api.agentreport import AgentReport, read
from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster.state import labelled_host
from manyserve.cluster.store import Manifest

RETRY = Backoff(base=0.2, cap=1.0)
LARGEST_REPORT = 16 * 2**20
"""Bytes of a response at most."""
LONG_REPORT = 64 * 2**10
"""Bytes; a longer report is parsed in a thread, so that the event loop is not blocked."""


class BadReport(Exception):
    """The response of a pod is not a report."""


@dataclass(frozen=True)
class PollIntervals:
    """Waits of the poller, in seconds."""

    wait: int = 5
    """Maximum wait of an agent for a change, before it repeats its report."""
    pause: float = 0.2
    """Between two polls, so that an agent that loads a hundred models is not polled a hundred times."""
    retry: Backoff = RETRY
    """Delay between attempts to reach an agent."""
    drop_after: float = 3.0
    """Without a response for this long a report is dropped."""


POLL_INTERVALS = PollIntervals()


@dataclass(frozen=True)
class AgentEndpoint:
    """Pod with an agent to poll."""

    uid: str
    host: Key
    address: str
    settled: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    """Set when the first report has arrived, or the pod is unreachable."""


def endpoint_of(pod: Manifest) -> AgentEndpoint | None:
    """Return the endpoint of a pod, or None when the pod does not run."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    address = status.get("podIP")
    if not address or status.get("phase") != "Running" or metadata.get("deletionTimestamp"):
        return None
    return AgentEndpoint(metadata["uid"], labelled_host(pod), f"[{address}]" if ":" in address else address)


@dataclass(frozen=True)
class PolledReport:
    """Report of an agent, with the hash of its body."""

    report: AgentReport
    digest: bytes
    """SHA-256 of the body."""


async def poll(
    session: aiohttp.ClientSession, url: str, last: PolledReport | None, wait: int, hold: float | None = None
) -> PolledReport:
    """Poll an agent: return a changed report at once, or the same one after `wait` seconds.

    With a `hold` the agent keeps its new pod unready for so many seconds after the server's first answer.

    Raises
    ------
    BadReport
        If the response is not a report.
    aiohttp.ClientError, TimeoutError, OSError
        If there is no response.
    """
    report = last.report if last else None
    params = {"after": str(report.revision), "instance": report.instance, "wait": str(wait)} if report else {}
    params |= {} if hold is None else {"hold": f"{hold:g}"}
    async with session.get(url, params=params, allow_redirects=False) as response:
        body = await _read_body(response)
    digest = hashlib.sha256(body).digest()
    if last is not None and digest == last.digest:
        return last
    return PolledReport(await _parse(url, body, report), digest)


async def _parse(url: str, body: bytes, before: AgentReport | None) -> AgentReport:
    try:
        return await asyncio.to_thread(read, body, before) if len(body) > LONG_REPORT else read(body, before)
    except ValidationError as error:
        raise BadReport(f"{url} sent an invalid report: {error.errors()[0]['msg']}") from None
    except ValueError as error:
        raise BadReport(f"{url} sent an invalid report: {error}") from None


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of a response with status 200 and at most `LARGEST_REPORT` bytes."""
    if response.status != 200:
        raise BadReport(f"{response.url} answered {response.status}")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_REPORT:
            raise BadReport(f"{response.url} answered more than {LARGEST_REPORT} bytes")
    return bytes(body)
