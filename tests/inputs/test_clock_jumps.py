"""Input 27: models of one second are ordered by uid; a clock that jumps a day makes neither a storm of
writes nor a host that waits. What is decided without a clock of the wall stands in tests/plan and tests/operator.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from manyserve.cluster.client import KubeClient
from manyserve.operator import operator
from manyserve.operator.reconcile import reconciler
from tests.contract.stage import HOST, Stage, staged
from tests.faults import expectations
from tests.faults.expectations import Revision
from tests.faults.history import HistoryRecorder, recording
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl

DAY = timedelta(days=1)


class Wall:
    """A clock on the wall that somebody sets."""

    def __init__(self) -> None:
        self.off = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.off


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """The operator's clock on the wall."""
    clock = Wall()
    monkeypatch.setattr(operator, "reconciler", partial(reconciler, now=clock))
    return clock


async def test_input_27_clock_jump_of_a_day_causes_no_stall_and_no_burst_of_writes(
    wall: Wall, kubectl: Kubectl, client: KubeClient
) -> None:
    async with staged(kubectl, client) as stage, recording(client, kubectl.namespace) as recorder:
        stage.apply(make.host_object(memory="64Gi"), make.model_object("before"))
        await eventually_in_thread(lambda: stage.ready("tm", "before").get("status") == "True", "all is well before")
        for number, off in enumerate((DAY, -DAY)):
            wall.off = off
            stage.apply(make.model_object(f"after-{number}", memory="1Mi"))
            await eventually_in_thread(
                partial(is_ready, stage, f"after-{number}"), f"it is {off} off, and the model answers soon", 10
            )
        assert stage.ready("tm", "before")["status"] == "True"
        await quiet(stage, recorder)
        assert expectations.always(recorder.history) == []
        assert touches(recorder.history) <= 2 * 3, "each models.json has a pod touched a few times at most"


async def test_input_27_missed_config_refresh_is_repeated_after_clock_set_back(
    wall: Wall, kubectl: Kubectl, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(kubectl, client) as stage, recording(client, kubectl.namespace) as recorder:
        stage.apply(make.host_object())
        await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
        with monkeypatch.context() as deaf:
            deaf.setattr(stage.kubelet, "_load", lambda: None)
            before = touches(recorder.history)
            stage.apply(make.model_object("a"))
            await eventually_in_thread(
                lambda: touches(recorder.history) > before, "the pod is touched, and its kubelet misses it"
            )
            wall.off = -DAY
        await eventually_in_thread(partial(is_ready, stage, "a"), "it is touched again, and the model answers", 15)


async def quiet(stage: Stage, recorder: HistoryRecorder) -> None:
    """Return when a look at every host brings no write for a while; a storm never ends."""
    async with asyncio.timeout(20):
        before = -1
        while before < len(recorder.history):
            before = len(recorder.history)
            stage.operator._known.enqueue_all()
            await asyncio.sleep(1.5)


def is_ready(stage: Stage, name: str) -> bool:
    return stage.ready("tm", name).get("status") == "True"


def touches(history: list[Revision]) -> int:
    """Return how often a pod's annotation changed."""
    notes = [str(each.thing["metadata"].get("annotations")) for each in history if each.kind == "Pod"]
    return sum(one != other for one, other in pairwise(notes))


async def test_input_27_models_of_the_same_second_are_placed_in_order_of_uid(stage: Stage) -> None:
    stage.apply(*(make.model_object(f"m-{number}", memory="512Mi") for number in range(8)))
    stage.apply(make.host_object())
    await eventually_in_thread(lambda: len(stage.placed()) == 4, "half of them fit")
    found = stage.kubectl.list("tm")
    found.sort(key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["uid"]))
    seconds = {each["metadata"]["creationTimestamp"] for each in found}
    assert len(seconds) < len(found), "some are of the same second"
    assert stage.placed() == sorted(each["metadata"]["name"] for each in found[:4]), f"of {HOST}"
