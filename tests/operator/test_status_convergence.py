"""Reconciler, status writer and store converge: no outdated status stays, whichever writes overtake the next plan."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

import pytest

from manyserve.api.names import Key
from manyserve.cluster import kinds
from manyserve.cluster.apply import Applier
from manyserve.cluster.errors import Unavailable
from manyserve.cluster.informer import Informer
from manyserve.cluster.limiter import Limiter
from manyserve.cluster.state import ClusterState
from manyserve.cluster.status_writer import StatusWriter
from manyserve.operator.debounce import Debouncer
from manyserve.operator.reconcile import Planner, Reconciler
from manyserve.operator.workqueue import WorkQueue
from manyserve.plan.actions import Plan, Priority, SetStatus
from manyserve.plan.observed import Manifest, Observed
from tests.support import make
from tests.support.eventually import eventually
from tests.support.merge_patch import merge_patch
from tests.support.queues import waiting

HOST = Key("default", "triton-mms")
WRITE_SECONDS = 0.01
PLAN_SECONDS = 0.1


class FakeClient:
    """A client that stores patched statuses after a delay; the watch shows each a moment later."""

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.informer: Informer | None = None
        self.failures = 0
        self._versions = itertools.count(100)

    async def merge_patch(self, _kind: object, _namespace: str, name: str, patch: Manifest, **_: object) -> Manifest:
        if self.failures:
            self.failures -= 1
            await asyncio.sleep(0.5)  # until a later plan has dropped this status
            raise Unavailable("PATCH had no response")
        await asyncio.sleep(WRITE_SECONDS)
        before = self.objects[name]
        assert before["metadata"]["resourceVersion"] == patch["metadata"]["resourceVersion"]
        stored: Manifest = merge_patch(before, patch)
        stored["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[name] = stored
        assert self.informer is not None
        asyncio.get_running_loop().call_later(WRITE_SECONDS / 2, self.informer.store.apply_event, _copy(stored))
        return _copy(stored)

    def loaded(self) -> set[str]:
        return {manifest["status"]["loaded"] for manifest in self.objects.values()}


class Env:
    """Models of one host, with the real parts between the state and the client."""

    def __init__(self, models: int) -> None:
        self.wanted = "1/1"
        self.client = FakeClient()
        self.queue = WorkQueue()
        debouncer = Debouncer(self.queue)
        self.state = state = ClusterState(self.queue.add)
        state.config = make.config()
        state.update_host(None, make.host_object())
        client = cast("Any", self.client)
        self.informer = Informer(client, kinds.TRAINED_MODEL, on_store=state.update_model)
        self.client.informer = self.informer
        for number in range(models):
            self._add(make.model_object(f"m-{number}", host=HOST.name))
        limiter = Limiter()
        self.statuses = StatusWriter(state, self._informer_of, limiter, cast("Any", None), _ignore)
        applier = Applier(client, state, self._informer_of, limiter, self.statuses, _ignore)
        self.reconciler = Reconciler(state, applier, cast("Any", NoLookups()), debouncer, Planner(self._plan, _now))

    def _add(self, manifest: Manifest) -> None:
        manifest["metadata"]["resourceVersion"] = "1"
        manifest["status"] = {"loaded": "1/1"}
        self.client.objects[manifest["metadata"]["name"]] = manifest
        self.informer.store.apply_event(_copy(manifest))

    def _informer_of(self, _kind: str, _namespace: str) -> Informer:
        return self.informer

    def _plan(self, observed: Observed, _now: datetime) -> Plan:
        wanted = self.wanted
        time.sleep(PLAN_SECONDS)
        return Plan(
            statuses=tuple(
                SetStatus(
                    "TrainedModel",
                    model.metadata.name,
                    model.metadata.uid,
                    model.status,
                    model.status.model_copy(update={"loaded": wanted}),
                    Priority.FINAL,
                )
                for model in observed.models
                if model.status.loaded != wanted
            )
        )


class NoLookups:
    """A metadata poller without work."""

    def set_required(self, *_: object) -> None:
        """Require nothing."""


@asynccontextmanager
async def running(env: Env) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for work in (env.statuses.run(), env.queue.run(env.reconciler.reconcile))]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("models", "failures"), [(300, 0), (1, 1)], ids=["many writes in flight", "a failed write"])
async def test_status_writer_and_plans_converge_when_readiness_falls_and_returns(models: int, failures: int) -> None:
    env = Env(models)
    async with running(env):
        env.client.failures = failures
        env.wanted = "0/1"
        env.queue.add(HOST)
        await eventually(_is_writing(env), "the first status is in flight")
        env.wanted = "1/1"
        env.queue.add(HOST)
        await eventually(lambda: not waiting(env.queue) and not env.statuses.busy and _is_calm(env))
        assert env.client.loaded() == {"1/1"}


def _is_writing(env: Env) -> Callable[[], bool]:
    return lambda: bool(env.statuses._in_flight)


def _is_calm(env: Env) -> bool:
    return not env.queue._processing and not any(env.statuses._waiting.values())


def _copy(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": dict(manifest["metadata"])}


def _ignore(_kind: str, _verb: str) -> None:
    """Count no write."""


def _now() -> datetime:
    return make.NOW
