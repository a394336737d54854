"""One question to one agent: where it is, how long it may take, and an answer that is a report or an error."""

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
LONG_REPORT = 64 * 2**10
"""Bytes; a longer one is read beside the event loop."""


class BadReport(Exception):
    """A pod answered, but not with a report."""


@dataclass(frozen=True)
class PollIntervals:
    """How agents are asked, in seconds."""

    wait: int = 5
    """How long an agent may hold back its answer."""
    pause: float = 0.2
    """Between two answers: an agent that loads a hundred models need not be asked a hundred times."""
    retry: Backoff = RETRY
    """Between attempts to reach an agent that does not answer."""
    unheard: float = 3.0
    """After this long without an answer the report is dropped."""


POLL_INTERVALS = PollIntervals()


@dataclass(frozen=True)
class AgentEndpoint:
    """A pod to be asked."""

    uid: str
    host: Key
    address: str
    settled: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    """Set when it is known what the pod says, or that it cannot be reached."""


def running_pod(pod: Manifest) -> AgentEndpoint | None:
    """Return where to ask a pod, or None when it does not run."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    address = status.get("podIP")
    if not address or status.get("phase") != "Running" or metadata.get("deletionTimestamp"):
        return None
    return AgentEndpoint(metadata["uid"], labelled_host(pod), f"[{address}]" if ":" in address else address)


@dataclass(frozen=True)
class PolledReport:
    """What an agent answered."""

    report: AgentReport
    body: bytes
    """The hash of what it is read from."""


async def poll(session: aiohttp.ClientSession, url: str, last: PolledReport | None, wait: int) -> PolledReport:
    """Return the agent's answer, as soon as it is another than the last one, or that one after `wait` seconds.

    Raises
    ------
    BadReport
        If what answers is no agent.
    aiohttp.ClientError, TimeoutError, OSError
        If nothing answers.
    """
    report = last.report if last else None
    params = {"after": str(report.revision), "instance": report.instance, "wait": str(wait)} if report else {}
    async with session.get(url, params=params, allow_redirects=False) as answer:
        body = await _bounded(answer)
    digest = hashlib.sha256(body).digest()
    if last is not None and digest == last.body:
        return last
    return PolledReport(await _read(url, body, report), digest)


async def _read(url: str, body: bytes, before: AgentReport | None) -> AgentReport:
    try:
        return await asyncio.to_thread(read, body, before) if len(body) > LONG_REPORT else read(body, before)
    except ValidationError as error:
        raise BadReport(f"{url} answered what is no report: {error.errors()[0]['msg']}") from None
    except ValueError as error:
        raise BadReport(f"{url} answered what is no report: {error}") from None


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body of a good answer that is not too long."""
    if answer.status != 200:
        raise BadReport(f"{answer.url} answered {answer.status}")
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > LARGEST_REPORT:
            raise BadReport(f"{answer.url} answered more than {LARGEST_REPORT} bytes")
    return bytes(body)
