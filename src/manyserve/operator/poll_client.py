"""Client of one long poll: the address of a pod, the intervals, and a bounded response that is parsed."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import aiohttp
from pydantic import ValidationError

from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster.host_pods import labelled_host
from manyserve.cluster.store import Manifest
from manyserve.redaction import one_line
from manyserve.response_body import read_at_most

RETRY = Backoff(base=0.2, cap=1.0)
LONG_REPORT = 64 * 2**10
"""Bytes; a longer report is parsed in a thread, so that the event loop is not blocked."""
PARSE_FACTOR = 4.0
"""Times the seconds that a report took to parse: the pause before the next poll. A pod takes a fifth of a core."""
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="reports")  # one for all pods, which share its time
Report = TypeVar("Report")


class BadReport(Exception):
    """The response of a pod is not a report."""


@dataclass(frozen=True)
class PollIntervals:
    """Waits of a poller, in seconds."""

    wait: int = 5
    """Maximum wait of a pod for a change, before it repeats its report."""
    pause: float = 0.2
    """Between two polls, so that an agent that loads a hundred models is not polled a hundred times."""
    retry: Backoff = RETRY
    """Delay between attempts to reach a pod."""
    drop_after: float = 3.0
    """Without a response for this long a report is dropped."""


POLL_INTERVALS = PollIntervals()


@dataclass(frozen=True)
class Endpoint:
    """Pod with a program to poll."""

    uid: str
    host: Key
    address: str
    settled: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    """Set when the first report has arrived, or the pod is unreachable."""


def endpoint_of(pod: Manifest) -> Endpoint | None:
    """Return the endpoint of a pod, or None when the pod does not run."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    address = status.get("podIP")
    if not address or status.get("phase") != "Running" or metadata.get("deletionTimestamp"):
        return None
    return Endpoint(metadata["uid"], labelled_host(pod), f"[{address}]" if ":" in address else address)


@dataclass(frozen=True)
class Polled(Generic[Report]):
    """Report of a pod, with the hash of its body."""

    report: Report
    digest: bytes
    """SHA-256 of the body."""
    seconds: float = 0.0
    """Processor time that the report took to parse."""


async def read_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body of a response with status 200 and at most so many bytes. Raises `BadReport`."""
    if response.status != 200:
        raise BadReport(f"{response.url} answered {response.status}")
    body = await read_at_most(response, most)
    if body is None:
        raise BadReport(f"{response.url} answered more than {most} bytes")
    return body


async def parsed(
    url: str, body: bytes, last: Polled[Report] | None, read: Callable[[bytes], Report], *, is_whole: bool = True
) -> Polled[Report]:
    """Return the report in a body. Raises `BadReport`.

    The last report is returned for the same body, unless it `is_whole` no longer: it may then be read another way.
    """
    parse = partial(_parse, url, body, last if is_whole else None, read)
    if len(body) <= LONG_REPORT:
        return parse()
    return await asyncio.get_running_loop().run_in_executor(_THREAD, parse)


def _parse(url: str, body: bytes, last: Polled[Report] | None, read: Callable[[bytes], Report]) -> Polled[Report]:
    began, digest = time.thread_time(), hashlib.sha256(body).digest()
    if last is not None and digest == last.digest:
        return Polled(last.report, digest)
    try:
        report = read(body)
    except ValidationError as error:
        raise BadReport(f"{url} sent an invalid report: {one_line(error.errors()[0]['msg'])}") from None
    except ValueError as error:
        raise BadReport(f"{url} sent an invalid report: {one_line(error)}") from None
    return Polled(report, digest, time.thread_time() - began)
