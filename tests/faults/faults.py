"""Context managers for faults: a fault lasts as long as its context. `ROWS` has them by number, for pairs.

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
from tests.cluster.waiting import until
from tests.faults.exchange import WRITES, Exchange
from tests.faults.kept import Kept, keeping
from tests.faults.rules import Do, Rule, answer, delay, lose_the_answer, serve_an_old_list
from tests.faults.scene import HOST, LONG, Scene
from tests.support import make

CONFIG = f"modelconfig-{HOST}-0"
MODELS = "/trainedmodels"
NO_EVENT = "^(?!.*/events)"
HUGE = 2 << 20
RETRY_AFTER = 5 if LONG else 2
LATE = 0.2
"""Seconds of delay of a write; four other writes, one every 0.05 s, overtake it."""


@asynccontextmanager
async def killed(scene: Scene, nth: int = 2) -> AsyncIterator[Rule]:
    """Row 1: the operator dies after its nth write from now on, and gets no answer to it."""
    rule = Rule(dying(scene), "killed after it", verbs=WRITES, path=NO_EVENT, client="operator", first=nth, count=1)
    with scene.proxy.faulty(rule):
        yield rule
        with suppress(TimeoutError):
            await until(lambda: rule.done, 3)


def dying(scene: Scene) -> Do:
    """Forward a request, and kill its client before the answer."""

    async def do(exchange: Exchange) -> web.StreamResponse:
        await exchange.forward()
        scene.operator.kill()
        return exchange.reset()

    return do


@asynccontextmanager
async def answers_lost(scene: Scene, seconds: float = 60 if LONG else 2) -> AsyncIterator[None]:
    """Row 2: half of all writes happen, and their answers are lost."""
    rule = Rule(lose_the_answer, "answer lost", verbs=WRITES, chance=0.5, dice=random.Random(2))
    with scene.proxy.faulty(rule):
        yield
        await until(lambda: rule.done >= 2, 20)
        await asyncio.sleep(seconds)


@asynccontextmanager
async def conflict_storm(scene: Scene, seconds: float = 30 if LONG else 4) -> AsyncIterator[None]:
    """Row 3: a client rewrites the ConfigMap's metadata 20 times a second, and the operator's writes there are slow."""
    slow = Rule(delay(LATE), "sent on later", verbs=("update",), path=f"/configmaps/{CONFIG}")

    async def storm() -> None:
        for count in range(1_000_000):
            patch = {"metadata": {"annotations": {"example.com/storm": str(count)}}}
            with suppress(ClusterError):
                await scene.client.merge_patch(kinds.CONFIG_MAP, scene.kubectl.namespace, CONFIG, patch)
            await asyncio.sleep(0.05)

    storming = asyncio.create_task(storm())
    try:
        with scene.proxy.faulty(slow):
            yield
            await asyncio.sleep(seconds)
    finally:
        storming.cancel()


@asynccontextmanager
async def throttled(scene: Scene, retry_after: int = RETRY_AFTER) -> AsyncIterator[None]:
    """Row 4: 429 with Retry-After for everything, then for patches alone."""
    do = answer(429, retry_after=retry_after)
    with scene.proxy.faulty(Rule(do, "429")):
        cut(scene)
        yield
        await asyncio.sleep(3 * retry_after)
    with scene.proxy.faulty(Rule(do, "429", verbs=("patch",))):
        await asyncio.sleep(3 * retry_after)


@asynccontextmanager
async def failing_reads(scene: Scene, seconds: float = 60 if LONG else 6) -> AsyncIterator[None]:
    """Row 5: every list and watch is answered with 500, 503 and 504."""
    codes = [Rule(answer(code), str(code), verbs=("list", "watch"), chance=chance) for code, chance in FAILING]
    with scene.proxy.faulty(*codes):
        cut(scene)
        yield
        await asyncio.sleep(seconds)


FAILING = ((500, 0.34), (503, 0.5), (504, 1.0))


@asynccontextmanager
async def silent(scene: Scene) -> AsyncIterator[None]:
    """Row 6: the open watches fall silent, and stay open; the fault ends when the operator has closed all of them."""
    streams = scene.proxy.watches()
    for stream in streams:
        stream.silent = True
    yield
    await until(lambda: not any(stream.open for stream in streams), 120)


@asynccontextmanager
async def gone(scene: Scene) -> AsyncIterator[None]:
    """Row 7: the watch of models is cut, and its next one is answered with 410, after the changes."""
    changed = asyncio.Event()

    async def too_old(exchange: Exchange) -> web.StreamResponse:
        await changed.wait()
        return await answer(410)(exchange)

    with scene.proxy.faulty(Rule(too_old, "410", verbs=("watch",), path=MODELS)):
        cut(scene, MODELS)
        yield
        changed.set()
        with suppress(TimeoutError):  # another fault may keep it from coming back
            await until(lambda: any(each.status == 410 for each in scene.proxy.history), 10)


@asynccontextmanager
async def bad_streams(scene: Scene) -> AsyncIterator[None]:
    """Row 8: watches send an ERROR, an unknown event, a line of 2 MiB, and half a line."""
    streams = scene.proxy.watches()
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
async def stale_list(scene: Scene) -> AsyncIterator[None]:
    """Row 9: the operator is killed, and the lists of its next start are those of its first."""
    starts = scene.operator.starts
    with scene.proxy.faulty(Rule(serve_an_old_list, "an old list", verbs=("list",))):
        scene.operator.kill()
        await until(lambda: scene.operator.starts > starts, 30)
        await _settle(scene.operator)
    yield


@asynccontextmanager
async def control_plane_killed(scene: Scene, seconds: float = 30 if LONG else 3) -> AsyncIterator[None]:
    """Row 10: etcd and the API server die by SIGKILL, and come back."""
    server = scene.api_server
    for name in ("kube-apiserver", "etcd"):
        pid = process.find(server, name)
        assert pid, f"{name} runs"
        os.kill(pid, signal.SIGKILL)
    await asyncio.sleep(seconds)
    for name, flags in (("etcd", controlplane._etcd(server)), ("kube-apiserver", controlplane._apiserver(server))):
        controlplane._start(server, name, flags)
    async with asyncio.timeout(90):
        while not await asyncio.to_thread(api.ready, server):  # noqa: ASYNC110  it has no event to wait for
            await asyncio.sleep(0.2)
    yield


@asynccontextmanager
async def two_operators(scene: Scene, lag: float = 0.0, seconds: float = 60 if LONG else 3) -> AsyncIterator[None]:
    """Row 11: a second operator works on the same objects; with a lag, from stale caches."""
    with scene.proxy.faulty(*([Rule(delay(lag), f"{lag:g} s late", client="second")] if lag else [])):
        async with keeping(scene.another("second")) as second:
            await _settle(second)
            yield
            await asyncio.sleep(seconds)


@asynccontextmanager
async def many_creates(
    scene: Scene, clients: int = 50 if LONG else 10, models: int = 200 if LONG else 40
) -> AsyncIterator[None]:
    """Row 18: many clients create many more models at once than fit."""
    waiting = [make.model_object(f"burst-{number}", memory="100Mi") for number in range(models)]

    async def create() -> None:
        while waiting:
            metadata = {"name": waiting[-1]["metadata"]["name"], "namespace": scene.kubectl.namespace}
            await scene.client.create(kinds.TRAINED_MODEL, waiting.pop() | {"metadata": metadata})

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(create())
    yield


async def _settle(operator: Kept) -> None:
    """Wait until an operator is ready; another fault may prevent it."""
    with suppress(TimeoutError):
        await operator.ready(30)


def cut(scene: Scene, path: str = "") -> None:
    """Cut the open watches."""
    for stream in scene.proxy.watches(path):
        stream.cut()


ROWS: dict[int, Callable[[Scene], AbstractAsyncContextManager[object]]] = {
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
