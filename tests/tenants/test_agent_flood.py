"""A flood of requests at a running agent, and the readiness probe beside it, in three processes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Coroutine
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from tests.support.connections import status, unlimited
from tests.support.eventually import eventually
from tests.support.figures import Figures, reports
from tests.support.programs import processor_seconds
from tests.tenants.agent_process import AgentProcess, agent_process, container

FLOOD = 1500
PROBE_SECONDS: int = container()["readinessProbe"]["timeoutSeconds"]
FLOOD_SECONDS = 3.0
ENDLESS, IDLE_PROBES = 10**6, 20
MOST_TIMES = 2
"""Processor time of requests of /metrics, in those of /healthz. A rendering for each takes four times as long."""
LEAST_PROBES = 10
"""Probes beside the flood that make its figure worth something."""
OK = 200


class Probes(NamedTuple):
    """Results of probes."""

    slowest: float
    """Seconds."""
    number: int
    failures: int
    answered: int
    """Requests of the flood with a response."""


async def probe(agent: AgentProcess, count: int, beside: Coroutine[None, None, int] | None = None) -> Probes:
    """Probe so many times, or until the end of a coroutine."""
    words = ["-m", "tests.tenants.agent_probe", str(agent.port), str(PROBE_SECONDS), str(count)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    program = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=PIPE, stdout=PIPE, env=env)
    assert program.stdout is not None
    assert program.stdin is not None
    assert await program.stdout.readline() == b"started\n"
    answered = await beside if beside else 0
    if beside:
        program.stdin.close()
    results = json.loads(await program.stdout.read())
    await program.wait()
    failures = sum(status != OK for _, status in results)
    return Probes(max(duration for duration, _ in results), len(results), failures, answered)


async def flood(agent: AgentProcess, at_once: int) -> int:
    """Request the metrics in waves, each with so many connections at once, and return the number of responses.

    The agent closes connections that wait too long on a busy machine, so a wave may have fewer responses than requests.
    """
    answered, started = 0, time.monotonic()
    while answered < FLOOD or time.monotonic() < started + FLOOD_SECONDS:
        answered += await wave(agent, at_once)
    return answered


async def wave(agent: AgentProcess, at_once: int, path: str = "/metrics") -> int:
    """Send `FLOOD` requests, each in a connection of its own, and return the number of responses."""
    turns = asyncio.Semaphore(at_once)

    async def one(client: aiohttp.ClientSession) -> int:
        async with turns:
            return await status(client, f"{agent.agent_url}{path}")

    async with unlimited(force_close=True) as client:
        return (await asyncio.gather(*(one(client) for _ in range(FLOOD)))).count(OK)


async def polls(agent: AgentProcess) -> int:
    """Hold `FLOOD` long polls for a while, and return how many are open or were answered."""
    report = await agent.report()
    assert report is not None
    url = f"{agent.agent_url}/status?wait=60&after={report.revision}"
    async with unlimited() as client:
        tasks = [asyncio.create_task(status(client, url)) for _ in range(FLOOD)]
        _, open_ = await asyncio.wait(tasks, timeout=FLOOD_SECONDS)
        for task in open_:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    return len(open_) + results.count(OK)


async def test_readyz_answers_within_the_probe_timeout_beside_long_polls(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    async with agent_process(tmp_path, MANYSERVE_SILENCE_SECONDS="0.2") as agent:
        await agent.loads("small")
        beside = await probe(agent, ENDLESS, polls(agent))
    figures = reports(pytestconfig)["tenants"]
    name, peer = f"{FLOOD} long polls at once", f"{beside.number} probes, {beside.answered} polls"
    figures.take(f"{name}: slowest /readyz", beside.slowest, "s", below=PROBE_SECONDS, peer=peer)
    assert beside.number >= LEAST_PROBES
    assert beside.answered > 0
    assert beside.failures == 0
    assert beside.slowest < PROBE_SECONDS


@pytest.mark.parametrize("at_once", [50, FLOOD])
async def test_readyz_answers_within_the_probe_timeout_beside_a_flood(
    tmp_path: Path, pytestconfig: pytest.Config, at_once: int
) -> None:
    async with agent_process(tmp_path, MANYSERVE_SILENCE_SECONDS="0.2") as agent, unlimited() as client:
        await agent.loads("small")

        async def is_ready() -> bool:
            return await status(client, f"{agent.agent_url}/readyz") == OK

        await eventually(is_ready, "the pod is ready")
        idle = await probe(agent, IDLE_PROBES)
        beside = await probe(agent, ENDLESS, flood(agent, at_once))
    figures = reports(pytestconfig)["tenants"]
    ratio = beside.slowest / idle.slowest
    peer = f"{ratio:.1f} times the idle one, {idle.slowest:.3f} s; {beside.number} probes, {beside.answered} responses"
    name = f"waves of {FLOOD} requests of /metrics, {at_once} at once"
    figures.take(f"{name}: slowest /readyz", beside.slowest, "s", below=PROBE_SECONDS, peer=peer)
    figures.take(f"{name}: failed probes", beside.failures, "probes", exactly=0)
    assert beside.number >= LEAST_PROBES
    assert idle.failures == beside.failures == 0
    assert beside.slowest < PROBE_SECONDS


async def test_requests_of_metrics_cost_no_rendering_each(tmp_path: Path, tenants: Figures) -> None:
    """The first wave of each path is a warm-up."""
    async with agent_process(tmp_path) as agent:
        await agent.loads("small")
        seconds = {path: await processor_time(agent, path) for path in ("/healthz", "/metrics") * 2}
    ratio = seconds["/metrics"] / seconds["/healthz"]
    name = f"{FLOOD} requests of /metrics: processor time, in those of /healthz"
    tenants.take(name, ratio, "times", below=MOST_TIMES, peer=f"{seconds['/healthz']:.2f} s")
    assert ratio < MOST_TIMES, seconds


async def processor_time(agent: AgentProcess, path: str) -> float:
    """Return the seconds of processor time that the agent takes for one wave."""
    before = processor_seconds(agent.pid)
    assert await wave(agent, 50, path) == FLOOD
    return processor_seconds(agent.pid) - before
