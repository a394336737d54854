"""Suspects: a model that ends the server does not keep the others from answering."""

from collections.abc import AsyncIterator

import pytest

from manyserve.agent.reconcile import next_check, plan
from manyserve.agent.retry import quarantine_seconds
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.clock import FakeClock
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

NAMES = ("a-poison", "b", "c")
ENDED = "the server ended while it was loaded"
DAY, MINUTE = 86_400, 60
DOWN = 40
"""Seconds between an end of the server and its next answer with all good models: kubelet, start and loads."""


@pytest.fixture
async def stage(pod: Pod) -> AsyncIterator[Pod]:
    """Return a pod with a poison model and two good ones, in the bucket only."""
    for name in NAMES:
        pod.bucket.put(name, name)
    pod.triton.poison.add("a-poison")
    yield pod
    pod.triton.dead = False


async def declare(pod: Pod) -> None:
    """Start with the good models, and add the poison model when they answer."""
    await pod.running("b", "c")
    pod.config.write(*map(entry, NAMES))


async def says(pod: Pod, message: str) -> None:
    """Wait for the message of the poison model."""
    await eventually(lambda: (model := pod.report.models.get("a-poison")) and model.message == message, message, 30)


async def dies(pod: Pod, times: int) -> None:
    """Wait until the server has ended so many times, and the agent has seen the last one; then restart the server."""
    await eventually(lambda: len(pod.triton.deaths) == times and not pod.report.server_ready)
    pod.triton.dead = False


async def good_answer(pod: Pod) -> None:
    await eventually(lambda: {"b", "c"} <= pod.triton.served.keys())


async def quarantined(pod: Pod) -> None:
    """Let the model end the server twice."""
    await declare(pod)
    await dies(pod, 1)
    await dies(pod, 2)
    await pod.shows(a_poison="LoadFailed", b="Loaded", c="Loaded")
    await says(pod, f"{ENDED}, 2 times")


async def test_suspect_is_loaded_last_and_alone_after_restart(stage: Pod) -> None:
    await declare(stage)
    await dies(stage, 1)
    stage.triton.calls.clear()
    await dies(stage, 2)
    assert sorted(stage.triton.calls[:2]) == ["load b", "load c"]
    assert stage.triton.calls[2:] == ["load a-poison"]
    assert stage.triton.deaths[1] == "a-poison", "no other model was being loaded"


async def test_suspect_is_quarantined_after_second_end_of_server(stage: Pod) -> None:
    await quarantined(stage)
    model = stage.model("a-poison")
    assert model.next_try
    await eventually(lambda: not plan(stage.context.state.observed, stage.context.clock()), "nothing is left to do", 30)
    now, observed = stage.context.clock(), stage.context.state.observed
    assert 600 < next_check(observed, now) < 1200
    metric = stage.context.metrics.failures.labels("load", "server_ended")
    assert metric._value.get() == 2


async def test_innocent_model_beside_suspect_is_cleared(stage: Pod) -> None:
    stage.triton.hanging.add("b")
    stage.config.write(entry("b"))
    await stage.start()
    await eventually(lambda: stage.triton.loads("b") == 1)
    stage.config.write(*map(entry, NAMES))
    await eventually(lambda: stage.triton.deaths == ["a-poison b"])
    stage.triton.hanging.clear()
    stage.triton.release.set()
    await dies(stage, 1)
    await dies(stage, 2)
    await good_answer(stage)
    assert stage.triton.deaths[1] == "a-poison"
    await eventually(lambda: stage.context.state.retries["b"].ends == 0)
    await eventually(lambda: stage.context.state.retries["a-poison"].ends == 2)
    await eventually(lambda: not list((stage.root / "markers").glob("b.LOADING.*")))


async def test_ended_server_without_load_under_way_makes_no_suspect(stage: Pod) -> None:
    stage.triton.poison.clear()
    await declare(stage)
    await stage.shows(a_poison="Loaded", b="Loaded", c="Loaded")
    stage.triton.die()
    await dies(stage, 1)
    await stage.shows(a_poison="Loaded", b="Loaded", c="Loaded")
    assert not any(retry.ends for retry in stage.context.state.retries.values())


async def test_answered_load_makes_no_suspect_when_the_server_ends_before_its_index(stage: Pod) -> None:
    stage.triton.ends_after = "b"
    stage.config.write(entry("b"), entry("c"))
    await stage.start()
    await dies(stage, 1)
    await stage.shows(b="Loaded", c="Loaded")
    assert stage.context.state.retries["b"].ends == 0
    assert stage.context.metrics.failures.labels("load", "server_ended")._value.get() == 0


async def test_refused_load_makes_no_suspect(stage: Pod) -> None:
    stage.triton.poison.clear()
    stage.triton.refusing["a-poison"] = "bad weights"
    await declare(stage)
    await stage.shows(a_poison="LoadFailed", b="Loaded", c="Loaded")
    assert stage.context.state.retries["a-poison"].ends == 0


async def test_new_spec_lifts_quarantine(stage: Pod) -> None:
    await quarantined(stage)
    stage.bucket.put("repaired", "repaired")
    stage.triton.poison.clear()
    stage.config.write(entry("a-poison", "gs://bucket/models/repaired"), entry("b"), entry("c"))
    await stage.shows(a_poison="Loaded", b="Loaded", c="Loaded")
    assert stage.triton.served["a-poison"] == "repaired"
    assert not list((stage.root / "markers").glob("a-poison.ENDED.*"))


async def test_previous_version_answers_while_new_version_is_quarantined(stage: Pod) -> None:
    stage.triton.poison.clear()
    await declare(stage)
    await stage.shows(a_poison="Loaded", b="Loaded", c="Loaded")
    stage.bucket.put("v2", "v2")
    stage.triton.poison.add("v2")
    stage.config.write(entry("a-poison", "gs://bucket/models/v2"), entry("b"), entry("c"))
    await dies(stage, 1)
    await dies(stage, 2)
    await eventually(lambda: stage.triton.served == {"a-poison": "a-poison", "b": "b", "c": "c"})
    await says(stage, f"{ENDED}, 2 times")
    await eventually(lambda: stage.model("a-poison").serving)
    assert len(stage.triton.deaths) == 2


async def test_restarted_agent_finds_quarantine_on_volume(stage: Pod) -> None:
    await quarantined(stage)
    await stage.stop()
    await stage.start()
    await says(stage, f"{ENDED}, 2 times")
    assert len(stage.triton.deaths) == 2


async def stopped_during_load(stage: Pod) -> None:
    """Stop the agent while the server loads `a-poison`, which does not end it."""
    stage.triton.poison.clear()
    stage.triton.hanging.add("a-poison")
    await declare(stage)
    await eventually(lambda: stage.triton.states.get("a-poison") == ("LOADING", ""))
    await stage.stop()


async def test_agent_that_ends_with_the_server_finds_suspect_on_volume(stage: Pod) -> None:
    await stopped_during_load(stage)
    stage.triton.die()
    stage.triton.poison.add("a-poison")
    stage.triton.dead = False
    await stage.start()
    await dies(stage, 2)
    await says(stage, f"{ENDED}, 2 times")


async def test_agent_restart_during_load_makes_no_suspect(stage: Pod) -> None:
    await stopped_during_load(stage)
    await stage.start()
    stage.triton.hanging.clear()
    stage.triton.release.set()
    await stage.shows(a_poison="Loaded", b="Loaded", c="Loaded")
    assert not stage.context.state.unjudged
    assert stage.context.state.retries["a-poison"].ends == 0


async def test_load_without_answer_in_time_makes_no_suspect_while_the_server_answers(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"load_seconds": 1.0})
    pod.bucket.put("a", "a")
    pod.triton.hanging.add("a")
    pod.config.write(entry("a"))
    await pod.start()
    await eventually(lambda: pod.triton.loads("a") == 1)
    pod.triton.states["a"] = ("UNAVAILABLE", "")  # as MLServer, which lists no load under way
    await pod.shows(a="LoadFailed")
    await pod.polled()
    assert pod.model("a").message == "the model server did not finish the load within 1 s"
    assert pod.context.state.retries["a"].ends == 0
    await pod.server_stops()
    await eventually(lambda: not pod.report.server_ready)
    pod.triton.hanging.clear()
    await pod.server_starts()
    await pod.shows(a="Loaded")
    assert not pod.context.state.unjudged


async def test_hanging_load_of_suspect_holds_others_for_one_slot_only(stage: Pod) -> None:
    await declare(stage)
    await dies(stage, 1)
    stage.triton.poison.clear()
    stage.triton.hanging.add("a-poison")
    await eventually(lambda: stage.context.state.alone == "a-poison")
    stage.bucket.put("d")
    stage.config.write(*map(entry, (*NAMES, "d")))
    await stage.shows(a_poison="LoadFailed", b="Loaded", c="Loaded", d="Loaded")


async def test_good_models_answer_most_of_two_hours_beside_poison_model(stage: Pod) -> None:
    await quarantined(stage)
    clock = FakeClock(stage.context.clock())
    stage.context.clock = clock
    end = clock.now + 120 * MINUTE
    while clock.now < end:
        ends = len(stage.triton.deaths) + 1
        clock.now += 5 * MINUTE
        is_due = stage.context.state.retries["a-poison"].not_before <= clock.now  # a further end changes it at once
        stage.context.state.changed.set()
        await eventually(lambda: stage.agent.last_pass == clock.now)
        if is_due:
            await dies(stage, ends)
            await says(stage, f"{ENDED}, {ends} times")
        await stage.shows(a_poison="LoadFailed", b="Loaded", c="Loaded")
    assert 2 < len(stage.triton.deaths) <= 6
    assert set(stage.triton.deaths[1:]) == {"a-poison"}
    assert len(stage.triton.deaths) * DOWN < 0.05 * 120 * MINUTE


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_quarantine_bounds_time_without_answers(fraction: float) -> None:
    """Ends of the server within a day take less than 5 % of it, and of its first hour."""
    for seconds in (DAY, 60 * MINUTE):
        time, ends = 0.0, 1
        while time < seconds:
            ends += 1
            time += DOWN + quarantine_seconds(ends, fraction)
        assert ends * DOWN < 0.05 * seconds
    assert [quarantine_seconds(ends, 1.0) for ends in range(1, 6)] == [0.0, 1200.0, 2400.0, 4800.0, 4800.0]
