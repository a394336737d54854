"""Long-poll client of one agent: one request, and the report or an error."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import aiohttp

from manyserve.api.agentreport import AgentReport, read
from manyserve.operator.poll_client import Polled, parsed, read_body

LARGEST_REPORT = 16 * 2**20
"""Bytes of a response at most."""
SMALL_REPORT = 2**20
"""Bytes of a response that are always read: a report about 5,000 removed models has fewer."""
BYTES_PER_MODEL = 4 * 2**10
"""Further bytes for each model of the host: a message of 512 letters with escapes takes 3 KiB."""


async def poll(
    session: aiohttp.ClientSession,
    url: str,
    last: Polled[AgentReport] | None,
    wait: int,
    hold: float | None = None,
    *,
    wanted: Callable[[], Collection[str]] | None = None,
) -> Polled[AgentReport]:
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
        body = await read_body(response, _most_bytes(names))
    is_whole = report is None or not report.dropped  # models that were dropped may be asked about now
    return await parsed(url, body, last, partial(read, before=report, wanted=names), is_whole=is_whole)


def _most_bytes(wanted: Collection[str] | None) -> int:
    """Return the bytes of a response at most, by the number of models of the host."""
    return LARGEST_REPORT if wanted is None else min(LARGEST_REPORT, SMALL_REPORT + BYTES_PER_MODEL * len(wanted))
