"""Liveness of the operator: each part that can stall while the process lives on makes `/healthz` fail.

The API server is unavailable in all tests, which is no reason for a restart. So each problem is that of the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from manyserve.api.names import Key
from manyserve.cluster.client import KubeClient
from manyserve.cluster.fence import Fence
from manyserve.cluster.kubeconfig import ClusterConfig
from manyserve.cluster.lease import Lease
from manyserve.operator.health import STALE
from manyserve.operator.leader_election import LeaderElector
from manyserve.operator.operator import Operator
from manyserve.operator.settings import OperatorSettings
from manyserve.operator.workqueue import STALL_TIMEOUT
from tests.operator.test_agent_poller import pod
from tests.support import make, replicas
from tests.support.eventually import eventually

NOWHERE = "http://127.0.0.1:9"
HOST = Key("default", "triton-mms")


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    """An operator that leads, as far as it can without an API server."""
    async with KubeClient(ClusterConfig(NOWHERE)) as client:
        elector = LeaderElector(Lease(client, "n", "l"), Fence(), "me")
        found = Operator(client, OperatorSettings(), elector)
        await found.start()
        async with found._leadership():
            await eventually(lambda: found._queue.active)
            await asyncio.sleep(0)
            assert found.liveness_problem() is None
            yield found
        await found.stop()


def task_of(name: str) -> asyncio.Task[None]:
    """Return the task of this name."""
    (found,) = (each for each in asyncio.all_tasks() if each.get_name() == name)
    return found


@pytest.mark.parametrize(
    "name",
    [
        "watch of inferenceservices",
        "watch of trainedmodels",
        "watch of pods",
        "watch of configmaps",
        "watch of serviceaccounts",
        "work",
        "event loop",
        "events",
        "lookups",
        "resync",
        "reconcile",
    ],
)
async def test_liveness_names_a_cancelled_task(operator: Operator, name: str) -> None:
    for task in [each for each in asyncio.all_tasks() if each.get_name() == name]:
        task.cancel()
    await eventually(operator.liveness_problem)
    assert name in str(operator.liveness_problem())


@pytest.mark.parametrize("error", [RuntimeError("a defect"), SystemError("a defect"), asyncio.CancelledError()])
async def test_liveness_names_a_watch_that_ended_by_an_exception(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    informer = operator._informers.informer_of("Pod", "default")

    def broken() -> float:
        raise error

    monkeypatch.setattr(informer, "_retry_delay", broken)
    await eventually(operator.liveness_problem, limit=40)
    assert operator.liveness_problem() == "ended: watch of pods"


async def test_liveness_names_a_stalled_watch(operator: Operator) -> None:
    operator._informers.informer_of("Pod", "default").last_step -= STALE + 1
    assert operator.liveness_problem() == "stalled watches: pods"


async def test_liveness_covers_the_watch_of_the_configuration(operator: Operator) -> None:
    operator._config.informer.last_step -= STALE + 1
    assert operator.liveness_problem() == "stalled watches: configmaps"


async def test_liveness_names_a_stalled_election(operator: Operator) -> None:
    assert operator._elector is not None
    operator._elector.last_attempt = operator._elector._clock() - STALE - 1
    assert operator.liveness_problem() == "leader election stalled"


async def test_liveness_names_a_stopped_agent_poller(operator: Operator) -> None:
    operator._state.update_host(None, make.host_object())
    replicas.add_chain(operator._state)
    operator._state.update_pod(None, pod())
    assert operator.liveness_problem() is None
    task_of("agent of u1").cancel()
    await eventually(operator.liveness_problem)
    assert operator.liveness_problem() == "agent poller stopped"


@asynccontextmanager
async def reconciling(operator: Operator, run: Callable[[Key], object]) -> AsyncIterator[None]:
    """Run the queue with a function of the test."""
    (task,) = (each for each in operator._leader_tasks._tasks if each.get_name() == "reconcile")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    operator._leader_tasks._tasks.remove(task)
    operator._leader_tasks.start("reconcile", operator._queue.run(run))  # type: ignore[arg-type]
    await eventually(lambda: operator._queue.active)
    assert operator.liveness_problem() is None
    yield


async def test_liveness_notices_a_hanging_reconcile_and_accepts_one_that_writes(operator: Operator) -> None:
    now = [0.0]
    operator._queue._clock = lambda: now[0]

    async def hangs(_: Key) -> None:
        await asyncio.Event().wait()

    async with reconciling(operator, hangs):
        operator._queue.add(HOST)
        now[0] = 1.0
        operator._queue.add(HOST)
        await eventually(lambda: operator._queue._processing)
        now[0] += STALL_TIMEOUT + 1
        assert operator.liveness_problem() == "the work queue is stalled"
        operator._count_write("ConfigMap", "write")
        assert operator.liveness_problem() is None


async def test_liveness_notices_an_overdue_host_and_accepts_an_idle_queue(operator: Operator) -> None:
    now = [0.0]
    operator._queue._clock = lambda: now[0]
    operator._queue.note_progress()
    now[0] = 10 * STALL_TIMEOUT
    assert operator.liveness_problem() is None
    operator._queue.add(HOST)
    assert operator.liveness_problem() is None
    now[0] += STALL_TIMEOUT / 10 + 1
    assert operator.liveness_problem() == "the work queue is stalled"


async def test_liveness_of_a_standby_ignores_its_queue() -> None:
    async with KubeClient(ClusterConfig(NOWHERE)) as client:
        waiting = Operator(client, OperatorSettings())
        waiting._queue.add(HOST)
        waiting._queue._clock = lambda: 1e9
        assert waiting.liveness_problem() is None
