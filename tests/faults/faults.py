"""Context managers of the faults: a fault lasts as long as its context. `ROWS` has them by number, for pairs.

A fault lasts seconds here, and minutes with `FAULTS=long`. In pairs it always lasts seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from aiohttp import web

from localcluster import api, controlplane, process
from manyserve.cluster import kinds
from manyserve.cluster.errors import ClusterError
from tests.faults.env import HOST, LONG, FaultEnv
from tests.faults.exchange import WRITES, Exchange
from tests.faults.restarting import RestartedOperator, restarting
from tests.faults.rules import Do, Rule, answer, delay, lose_the_answer, serve_an_old_list
from tests.support import make
from tests.support.eventually import NotInTime, eventually, eventually_in_thread

CONFIG = f"modelconfig-{HOST}-0"
MODELS = "/trainedmodels"
NO_EVENT = "^(?!.*/events)"
HUGE = 2 << 20
RETRY_AFTER = 5 if LONG else 2
LATE = 0.2
"""Seconds of delay of a write; four other writes, one every 0.05 s, overtake it."""


@asynccontextmanager
async def killed(env: FaultEnv, nth: int = 2) -> AsyncIterator[Rule]:
    """Row 1: the operator is killed after its nth write from now on, before the response."""
    rule = Rule(dying(env), "killed after it", verbs=WRITES, path=NO_EVENT, client="operator", first=nth, count=1)
    with env.proxy.faulty(rule):
        yield rule
        with suppress(NotInTime):
            await eventually(lambda: rule.done, limit=3)


def dying(env: FaultEnv) -> Do:
    """Forward a request, and kill its client before the answer."""

    async def do(exchange: Exchange) -> web.StreamResponse:
        await exchange.forward()
        env.operator.kill()
        return exchange.reset()

    return do


@asynccontextmanager
async def answers_lost(env: FaultEnv, seconds: float = 60 if LONG else 2) -> AsyncIterator[None]:
    """Row 2: half of all writes are done, and their responses are lost."""
    rule = Rule(lose_the_answer, "answer lost", verbs=WRITES, chance=0.5, dice=random.Random(2))
    with env.proxy.faulty(rule):
        yield
        await eventually(lambda: rule.done >= 2)
        await asyncio.sleep(seconds)


@asynccontextmanager
async def conflict_storm(env: FaultEnv, seconds: float = 30 if LONG else 4) -> AsyncIterator[None]:
    """Row 3: a client rewrites the ConfigMap's metadata 20 times a second, and the operator's writes there are slow."""
    slow = Rule(delay(LATE), "sent on later", verbs=("update",), path=f"/configmaps/{CONFIG}")

    async def storm() -> None:
        for count in range(1_000_000):
            patch = {"metadata": {"annotations": {"example.com/storm": str(count)}}}
            with suppress(ClusterError):
                await env.client.merge_patch(kinds.CONFIG_MAP, env.kubectl.namespace, CONFIG, patch)
            await asyncio.sleep(0.05)

    storming = asyncio.create_task(storm())
    try:
        with env.proxy.faulty(slow):
            yield
            await asyncio.sleep(seconds)
    finally:
        storming.cancel()


@asynccontextmanager
async def throttled(env: FaultEnv, retry_after: int = RETRY_AFTER) -> AsyncIterator[None]:
    """Row 4: 429 with Retry-After for everything, then for patches alone."""
    do = answer(429, retry_after=retry_after)
    with env.proxy.faulty(Rule(do, "429")):
        cut(env)
        yield
        await asyncio.sleep(3 * retry_after)
    with env.proxy.faulty(Rule(do, "429", verbs=("patch",))):
        await asyncio.sleep(3 * retry_after)


@asynccontextmanager
async def failing_reads(env: FaultEnv, seconds: float = 60 if LONG else 6) -> AsyncIterator[None]:
    """Row 5: every list and watch is answered with 500, 503 and 504."""
    codes = [Rule(answer(code), str(code), verbs=("list", "watch"), chance=chance) for code, chance in FAILING]
    with env.proxy.faulty(*codes):
        cut(env)
        yield
        await asyncio.sleep(seconds)


FAILING = ((500, 0.34), (503, 0.5), (504, 1.0))


@asynccontextmanager
async def silent(env: FaultEnv) -> AsyncIterator[None]:
    """Row 6: the open watches become silent and stay open, until the operator has closed all of them."""
    streams = env.proxy.watches()
    for stream in streams:
        stream.silent = True
    yield
    await eventually(lambda: not any(stream.open for stream in streams), limit=120)


@asynccontextmanager
async def gone(env: FaultEnv) -> AsyncIterator[None]:
    """Row 7: the watch of models is cut, and its next one is answered with 410, after the changes."""
    changed = asyncio.Event()

    async def too_old(exchange: Exchange) -> web.StreamResponse:
        await changed.wait()
        return await answer(410)(exchange)

    with env.proxy.faulty(Rule(too_old, "410", verbs=("watch",), path=MODELS)):
        cut(env, MODELS)
        yield
        changed.set()
        with suppress(NotInTime):  # another fault may keep it from coming back
            await eventually(lambda: any(each.status == 410 for each in env.proxy.history))


@asynccontextmanager
async def bad_streams(env: FaultEnv) -> AsyncIterator[None]:
    """Row 8: watches send an ERROR, an unknown event, a line of 2 MiB, and half a line."""
    streams = env.proxy.watches()
    error = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "a fault"}}
    huge = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "x" * HUGE}}
    lines = [error, {"type": "SURPRISE", "object": {"metadata": {}}}, huge]
    for number, stream in enumerate(streams):
        with suppress(ConnectionError):
            if number % 4 < 3:
                await stream.say(json.dumps(lines[number % 4]).encode() + b"\n")
            else:
                await stream.say(b'{"type": "ADDED", "object": {"meta')
                stream.cut()
    yield


@asynccontextmanager
async def stale_list(env: FaultEnv) -> AsyncIterator[None]:
    """Row 9: the operator is killed, and the lists of its next start are those of its first."""
    starts = env.operator.starts
    with env.proxy.faulty(Rule(serve_an_old_list, "an old list", verbs=("list",))):
        env.operator.kill()
        await eventually(lambda: env.operator.starts > starts)
        await _settle(env.operator)
    yield


@asynccontextmanager
async def control_plane_killed(env: FaultEnv, seconds: float = 30 if LONG else 3) -> AsyncIterator[None]:
    """Row 10: etcd and the API server are killed with SIGKILL, and restarted."""
    server = env.api_server
    for name in ("kube-apiserver", "etcd"):
        pid = process.find(server, name)
        assert pid, f"{name} runs"
        os.kill(pid, signal.SIGKILL)
    await asyncio.sleep(seconds)
    for name, flags in (("etcd", controlplane._etcd(server)), ("kube-apiserver", controlplane._apiserver(server))):
        controlplane._start(server, name, flags)
    await eventually_in_thread(lambda: api.ready(server), "the API server is ready", 90)
    yield


@asynccontextmanager
async def two_operators(env: FaultEnv, lag: float = 0.0, seconds: float = 60 if LONG else 3) -> AsyncIterator[None]:
    """Row 11: a second operator works on the same objects; with a lag, from stale caches."""
    with env.proxy.faulty(*([Rule(delay(lag), f"{lag:g} s late", client="second")] if lag else [])):
        async with restarting(env.another("second")) as second:
            await _settle(second)
            yield
            await asyncio.sleep(seconds)


@asynccontextmanager
async def many_creates(
    env: FaultEnv, clients: int = 50 if LONG else 10, models: int = 200 if LONG else 40
) -> AsyncIterator[None]:
    """Row 18: many clients create many more models at once than fit."""
    waiting = [make.model_object(f"burst-{number}", memory="100Mi") for number in range(models)]

    async def create() -> None:
        while waiting:
            metadata = {"name": waiting[-1]["metadata"]["name"], "namespace": env.kubectl.namespace}
            await env.client.create(kinds.TRAINED_MODEL, waiting.pop() | {"metadata": metadata})

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(create())
    yield


async def _settle(operator: RestartedOperator) -> None:
    """Wait until an operator is ready; another fault may prevent it."""
    with suppress(NotInTime):
        await operator.ready(30)


def cut(env: FaultEnv, path: str = "") -> None:
    """Cut the open watches."""
    for stream in env.proxy.watches(path):
        stream.cut()


ROWS: dict[int, Callable[[FaultEnv], AbstractAsyncContextManager[object]]] = {
    1: killed,
    2: partial(answers_lost, seconds=2),
    3: partial(conflict_storm, seconds=4),
    4: partial(throttled, retry_after=2),
    5: partial(failing_reads, seconds=6),
    6: silent,
    7: gone,
    8: bad_streams,
    9: stale_list,
    10: partial(control_plane_killed, seconds=3),
    11: partial(two_operators, seconds=3),
    18: partial(many_creates, clients=10, models=40),
}
"""The faults that are paired, with their duration in pairs."""
