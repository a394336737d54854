"""Long-poll client of one agent: its address, one request, and the report or an error."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import aiohttp
from pydantic import ValidationError

from manyserve.api.agentreport import AgentReport, read
from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster.host_pods import labelled_host
from manyserve.cluster.store import Manifest
from manyserve.redaction import one_line
from manyserve.response_body import read_at_most

RETRY = Backoff(base=0.2, cap=1.0)
LARGEST_REPORT = 16 * 2**20
"""Bytes of a response at most."""
SMALL_REPORT = 2**20
"""Bytes of a response that are always read: a report about 5,000 removed models has fewer."""
BYTES_PER_MODEL = 4 * 2**10
"""Further bytes for each model of the host: a message of 512 letters with escapes takes 3 KiB."""
LONG_REPORT = 64 * 2**10
"""Bytes; a longer report is parsed in a thread, so that the event loop is not blocked."""
PARSE_FACTOR = 4.0
"""Times the seconds that a report took to parse: the pause before the next poll. A pod takes a fifth of a core."""
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="reports")  # one for all pods, which share its time


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
    seconds: float = 0.0
    """Processor time that the report took to parse."""


async def poll(
    session: aiohttp.ClientSession,
    url: str,
    last: PolledReport | None,
    wait: int,
    hold: float | None = None,
    *,
    wanted: Callable[[], Collection[str]] | None = None,
) -> PolledReport:
    """Poll an agent: return a changed report at once, or the same one after `wait` seconds.

    With a `hold` the agent keeps its new pod unready for so many seconds after the server's first answer. `wanted`
    returns the names of the models that are asked about when the response comes, seconds after the request; None: all.

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
        names = wanted() if wanted else None
        body = await _read_body(response, _most_bytes(names))
    parse = partial(_parse, url, body, last, names)
    if len(body) <= LONG_REPORT:
        return parse()
    return await asyncio.get_running_loop().run_in_executor(_THREAD, parse)


def _parse(url: str, body: bytes, last: PolledReport | None, wanted: Collection[str] | None) -> PolledReport:
    """Return the last report for the same body, unless models were dropped that may be asked about now."""
    began, digest = time.thread_time(), hashlib.sha256(body).digest()
    if last is not None and digest == last.digest and not last.report.dropped:
        return replace(last, seconds=0.0)
    try:
        report = read(body, last.report if last else None, wanted)
    except ValidationError as error:
        raise BadReport(f"{url} sent an invalid report: {one_line(error.errors()[0]['msg'])}") from None
    except ValueError as error:
        raise BadReport(f"{url} sent an invalid report: {one_line(error)}") from None
    return PolledReport(report, digest, time.thread_time() - began)


def _most_bytes(wanted: Collection[str] | None) -> int:
    """Return the bytes of a response at most, by the number of models of the host."""
    return LARGEST_REPORT if wanted is None else min(LARGEST_REPORT, SMALL_REPORT + BYTES_PER_MODEL * len(wanted))


async def _read_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body of a response with status 200 and at most so many bytes."""
    if response.status != 200:
        raise BadReport(f"{response.url} answered {response.status}")
    body = await read_at_most(response, most)
    if body is None:
        raise BadReport(f"{response.url} answered more than {most} bytes")
    return body
