"""Input 27: models of one second are ordered by uid; a clock that jumps a day causes no burst of writes and no stall.

Decisions that need no wall clock are tested in tests/plan and tests/operator.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from manyserve.cluster.client import KubeClient
from manyserve.operator import operator
from manyserve.operator.reconcile import Planner
from tests.contract.stage import HOST, Stage, staged
from tests.faults import expectations
from tests.faults.expectations import Revision
from tests.faults.history import HistoryRecorder, recording
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl

DAY = timedelta(days=1)


class WallClock:
    """A wall clock with an offset."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The wall clock of the operator."""
    wall_clock = WallClock()
    monkeypatch.setattr(operator, "Planner", partial(Planner, now=wall_clock))
    return wall_clock


async def test_input_27_clock_jump_of_a_day_causes_no_stall_and_no_burst_of_writes(
    clock: WallClock, kubectl: Kubectl, client: KubeClient
) -> None:
    async with staged(kubectl, client) as stage, recording(client, kubectl.namespace) as recorder:
        stage.apply(make.host_object(memory="64Gi"), make.model_object("before"))
        await eventually_in_thread(lambda: stage.ready("tm", "before").get("status") == "True", "the model is ready")
        for number, offset in enumerate((DAY, -DAY)):
            clock.offset = offset
            stage.apply(make.model_object(f"after-{number}", memory="1Mi"))
            await eventually_in_thread(
                partial(is_ready, stage, f"after-{number}"), f"the model is ready soon, with an offset of {offset}", 10
            )
        assert stage.ready("tm", "before")["status"] == "True"
        await wait_until_idle(stage, recorder)
        assert expectations.always(recorder.history) == []
        assert refreshes(recorder.history) <= 2 * 3, "each models.json leads to a few patches of the pod at most"


async def test_input_27_missed_config_refresh_is_repeated_after_clock_set_back(
    clock: WallClock, kubectl: Kubectl, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(kubectl, client) as stage, recording(client, kubectl.namespace) as recorder:
        stage.apply(make.host_object())
        await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
        with monkeypatch.context() as patched:
            patched.setattr(stage.kubelet, "_load", lambda: None)
            before = refreshes(recorder.history)
            stage.apply(make.model_object("a"))
            await eventually_in_thread(
                lambda: refreshes(recorder.history) > before, "the pod is patched, and its kubelet misses it"
            )
            clock.offset = -DAY
        await eventually_in_thread(partial(is_ready, stage, "a"), "the pod is patched again; the model is ready", 15)


async def wait_until_idle(stage: Stage, recorder: HistoryRecorder) -> None:
    """Wait until a plan of every host leads to no write for 1.5 s; a burst without an end hits the time limit."""
    async with asyncio.timeout(60):
        before = -1
        while before < len(recorder.history):
            before = len(recorder.history)
            stage.operator._state.enqueue_all()
            await asyncio.sleep(1.5)


def is_ready(stage: Stage, name: str) -> bool:
    return stage.ready("tm", name).get("status") == "True"


def refreshes(history: list[Revision]) -> int:
    """Return the number of changes of annotations of pods."""
    annotations = [str(each.thing["metadata"].get("annotations")) for each in history if each.kind == "Pod"]
    return sum(before != after for before, after in pairwise(annotations))


async def test_input_27_models_of_the_same_second_are_placed_in_order_of_uid(stage: Stage) -> None:
    stage.apply(*(make.model_object(f"m-{number}", memory="512Mi") for number in range(8)))
    await eventually_in_thread(
        lambda: all(each.get("status") for each in stage.kubectl.list("tm")), "the operator knows all of them"
    )
    stage.apply(make.host_object())
    await eventually_in_thread(lambda: len(stage.placed()) == 4, "half of them fit")
    models = stage.kubectl.list("tm")
    models.sort(key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["uid"]))
    seconds = {each["metadata"]["creationTimestamp"] for each in models}
    assert len(seconds) < len(models), "some are of the same second"
    assert stage.placed() == sorted(each["metadata"]["name"] for each in models[:4]), f"of {HOST}"
