"""Bounds of agents' reports: each limit of docs/security.md with one report below it and one above."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.api.agentreport import (
    LONGEST_NAME,
    LONGEST_WORD,
    MOST_BYTES,
    MOST_NOT_UNLOADED,
    MOST_SECONDS,
    AgentReport,
    ModelReport,
    read,
)
from manyserve.operator import agent_client, agent_poller, poll_client
from manyserve.operator.agent_client import BYTES_PER_MODEL, LARGEST_REPORT, SMALL_REPORT
from manyserve.operator.poll_client import POLL_INTERVALS, BadReport, Polled
from manyserve.redaction import LIMIT
from tests.operator.test_agent_poller import pod, poller_env, report_of
from tests.support.eventually import LIMIT as LONG_TIME
from tests.support.eventually import eventually
from tests.tenants.tables import Cases

CASES = Cases()


def body(**fields: Any) -> bytes:
    return json.dumps({"instance": "a", "revision": 1} | fields).encode()


def model_report(**fields: Any) -> ModelReport:
    """Return the report about one model, as it is read."""
    return read(body(models={"m": {"state": "Downloading", "digest": "d"} | fields})).models["m"]


@CASES.of("response of an agent")
async def response_of_an_agent() -> None:
    assert POLL_INTERVALS.wait + POLL_INTERVALS.drop_after == 8
    assert agent_client._most_bytes(["m"] * 10_000) == agent_client._most_bytes(None) == LARGEST_REPORT
    most, answers = SMALL_REPORT + BYTES_PER_MODEL, list[bytes]()

    async def status(_request: web.Request) -> web.Response:
        return web.Response(body=answers.pop())

    app = web.Application()
    app.router.add_get("/status", status)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("/status"))
        answers.append(body().ljust(most))
        await agent_client.poll(session, url, None, 1, wanted=lambda: ["m"])
        answers.append(body().ljust(10 * most))
        with pytest.raises(BadReport, match=f"more than {most} bytes"):
            await agent_client.poll(session, url, None, 1, wanted=lambda: ["m"])


@CASES.of("time to parse a report")
async def time_to_parse() -> None:
    assert poll_client._THREAD._max_workers == 1
    polls, costs = list[str](), {"seconds": 0.0}

    async def poll(_: Any, url: str, *__: Any, **___: Any) -> Polled[AgentReport]:
        polls.append(url)
        return Polled(report_of("Loaded"), b"", **costs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(agent_poller, "poll", poll)
        async with poller_env() as env:
            env.add(pod())
            await eventually(lambda: len(polls) > 2, "a cheap report is polled again")
        costs["seconds"] = LONG_TIME
        polls.clear()
        async with poller_env() as env:
            env.add(pod())
            await eventually(lambda: polls)
            env.add(pod("u3", name="second"))
            await eventually(lambda: "u3" in env.state.reports)
            assert len(polls) == 2, "the next poll of each is later"


@CASES.of("models in a report")
def models_in_a_report() -> None:
    models = {f"x{number}": {"state": "Loaded", "digest": "d"} for number in range(1000)}
    assert read(body(models=models), wanted=set(models)).models.keys() == models.keys()
    report = read(body(models=models), wanted={"x1"})
    assert (list(report.models), report.dropped) == (["x1"], 999)


@CASES.of("removed models in a report")
def removed_models() -> None:
    names = [f"{number}".ljust(LONGEST_NAME, "n") for number in range(2 * MOST_NOT_UNLOADED)]
    below, above = names[:MOST_NOT_UNLOADED], names
    assert list(read(body(notUnloaded=dict.fromkeys(below, "busy"))).not_unloaded) == below
    assert list(read(body(notUnloaded=dict.fromkeys(above, "busy"))).not_unloaded) == below
    assert read(body(notUnloaded=dict.fromkeys([f"{names[0]}x", "\x1b"], "busy"))).not_unloaded == {}


@CASES.of("texts in a report")
def texts() -> None:
    assert model_report(message="m" * LIMIT).message == "m" * LIMIT
    assert model_report(digest="d" * LONGEST_WORD).digest == "d" * LONGEST_WORD
    assert len(model_report(message="m" * 2**20).message) == LIMIT
    assert len(model_report(digest="d" * 2**20).digest) == LONGEST_WORD
    assert model_report(message="\x1b[31mred\n\u202egnp").message == "?[31mred ?gnp"


@CASES.of("numbers in a report")
def numbers() -> None:
    most = model_report(bytes=MOST_BYTES, downloadSeconds=MOST_SECONDS)
    assert (most.bytes, most.download_seconds) == (MOST_BYTES, MOST_SECONDS)
    for number in (-1, 2**63, 10**4298):
        beyond = model_report(bytes=number, bytesTotal=number, downloadSeconds=number, loadSeconds=number)
        assert (beyond.bytes, beyond.bytes_total) == (None, None)
        assert all(each is None or each <= MOST_SECONDS for each in (beyond.download_seconds, beyond.load_seconds))
    assert model_report(downloadSeconds=2 * MOST_SECONDS).download_seconds is None
