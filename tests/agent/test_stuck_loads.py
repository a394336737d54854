"""Loads that the server never finishes: they are named, and the report says when only a restart ends them."""

from __future__ import annotations

import pytest

from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

HANGING = ("h1", "h2", "h3", "h4")
NAMED = "the model server has not finished 4 loads: h1, h2, h3, h4"
RESTART = "; only a restart of the model server ends them"


async def hanging(pod: Pod, load_seconds: float) -> None:
    """Start with four models that hang, and add a good one when they do."""
    pod.settings = pod.settings.model_copy(update={"load_seconds": load_seconds, "unload_seconds": 0.5})
    for name in (*HANGING, "good"):
        pod.bucket.put(name, name)
    pod.triton.hanging |= set(HANGING)
    pod.config.write(*map(entry, HANGING))
    await pod.start()
    await eventually(lambda: len(pod.triton.calls) == len(HANGING))
    pod.config.write(*map(entry, (*HANGING, "good")))


async def test_waiting_model_names_the_hanging_ones(pod: Pod) -> None:
    await hanging(pod, 60)
    await eventually(lambda: (good := pod.report.models.get("good")) and good.message == f"waits, since {NAMED}")
    assert pod.report.stuck_loads == (), "the agent still waits for them"


async def test_deleted_models_with_hanging_loads_need_a_restart(pod: Pod) -> None:
    await hanging(pod, 60)
    pod.config.write(entry("good"))
    await eventually(lambda: pod.report.stuck_loads == HANGING)
    await eventually(lambda: pod.model("good").message == f"waits, since {NAMED}{RESTART}")
    pod.triton.die()
    await eventually(lambda: not pod.report.server_ready)
    assert pod.report.stuck_loads == ()
    pod.triton.dead = False
    await pod.shows(good="Loaded")


async def test_loads_that_timed_out_need_a_restart(pod: Pod) -> None:
    await hanging(pod, 1)
    await eventually(lambda: pod.report.stuck_loads == HANGING)
    await eventually(lambda: pod.states().get("good") == "LoadFailed")
    assert pod.model("good").message == f"{NAMED}{RESTART}"
    assert pod.report.settled
    pod.triton.hanging.clear()
    pod.triton.release.set()
    await pod.shows(**dict.fromkeys((*HANGING, "good"), "Loaded"))
    assert pod.report.stuck_loads == ()


async def test_fewer_hanging_loads_than_the_limit_need_no_restart(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"unfinished_loads": 5})
    await hanging(pod, 60)
    pod.config.write(entry("good"))
    await eventually(lambda: pod.triton.served == {"good": "good"})
    assert pod.report.stuck_loads == ()
