"""What is told of a model on its way: how far it is, what answers meanwhile, and never more often than it changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manyserve.api import conditions
from manyserve.api.agentreport import ModelState
from manyserve.api.modelconfig import Entry
from manyserve.api.names import Key
from manyserve.plan.observed import Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from tests.support import make, world

KEY = Key("default", "triton-mms")
MIB = 1024**2


def settled_on(*pods: str) -> tuple[Observed, Entry]:
    start = Observed(key=KEY, config=make.config(), host=make.host(), models=(make.model(),))
    found = world.settle(replace(start, pods=tuple(make.pod(name) for name in pods)))
    return found, entry_of(found.models[0])


def ready(observed: Observed) -> tuple[str, str | None, str | None]:
    model = world.carry_out(observed, plan(observed, make.NOW)).models[0]
    found = conditions.find(model.status.conditions, conditions.READY)
    assert found is not None
    return found.status, found.reason, found.message


def told(**said: object) -> tuple[str, str | None, str | None]:
    observed, entry = settled_on("pod-1")
    return ready(replace(observed, agents={"uid-pod-1": make.report(entry, **said)}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (461 * MIB, 1024 * MIB, "downloading 45 % (461 of 1,024 MiB)"),
        (461 * MIB, None, "downloading (461 MiB so far)"),
        (0, 10, "downloading 0 % (0 of 1 MiB)"),
        (7 * MIB, 5 * MIB, "downloading 100 % (7 of 5 MiB)"),
        (7 * MIB, 0, "downloading (7 MiB so far)"),
        (None, None, "downloading"),
    ],
)
def test_a_download_says_how_far_it_is(done: int | None, total: int | None, words: str) -> None:
    found = told(state=ModelState.DOWNLOADING, bytes=done, bytes_total=total)
    assert found == ("False", "Downloading", f"pod-1: {words}")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ModelState.DOWNLOADING, "downloading 50 % (1 of 2 MiB)"),
        (ModelState.LOADING, "loading"),
        (ModelState.DOWNLOAD_FAILED, "it is gone (attempt 3)"),
        (ModelState.LOAD_FAILED, "it is gone (attempt 3)"),
    ],
)
def test_while_the_version_before_answers_that_is_said_and_the_reason_stays_the_truth(
    state: ModelState, words: str
) -> None:
    message = "it is gone" if "Failed" in state else ""
    found = told(state=state, serving=True, bytes=MIB, bytes_total=2 * MIB, attempt=3, message=message)
    assert found == ("False", state, f"pod-1: {words}; the version before still answers")


def test_what_a_model_waits_for_is_told() -> None:
    found = told(state=ModelState.PENDING, message="waits for room on the disk")
    assert found == ("False", "Pending", "pod-1: pending: waits for room on the disk")


def test_input_15_an_agent_that_cannot_use_its_models_json_is_named_with_its_reason() -> None:
    observed, entry = settled_on("pod-1", "pod-2")
    why = "/mnt/configs/models.json cannot be used: no list"
    deaf = make.report().model_copy(update={"config_error": why})
    status, reason, message = ready(replace(observed, agents={"uid-pod-1": make.report(entry), "uid-pod-2": deaf}))
    assert (status, reason) == ("False", "Pending")
    assert message == f"loaded on 1 of 2 replicas; pod-2: {why}"
    _, _, message = ready(replace(observed, agents=dict.fromkeys(("uid-pod-1", "uid-pod-2"), deaf)))
    assert message == f"pod-1: {why}"


def test_a_loaded_model_carries_what_its_agent_has_to_say_and_stays_ready() -> None:
    observed, entry = settled_on("pod-1")
    said = "gs://bucket/cifar10 could not be looked at again: it does not answer"
    noted = replace(observed, agents={"uid-pod-1": make.report(entry, message=said)})
    assert ready(noted) == ("True", None, f"pod-1: {said}")
    assert plan(noted, make.NOW).events == ()


def test_progress_of_many_replicas_is_one_write_for_the_first_and_none_for_the_others() -> None:
    observed, entry = settled_on("pod-1", "pod-2", "pod-3")

    def far(*done: int) -> Observed:
        reports = (
            make.report(entry, state=ModelState.DOWNLOADING, bytes=each * MIB, bytes_total=100 * MIB) for each in done
        )
        return replace(observed, agents=dict(zip(("uid-pod-1", "uid-pod-2", "uid-pod-3"), reports, strict=True)))

    first = world.carry_out(far(10, 20, 30), plan(far(10, 20, 30), make.NOW))
    later = replace(first, agents=far(10, 99, 99).agents)
    assert plan(later, make.NOW).statuses == ()
    moved = plan(replace(first, agents=far(11, 99, 99).agents), make.NOW)
    assert len(moved.statuses) == 1
    assert moved.events == ()


@pytest.mark.parametrize(
    ("reporting", "sentence"),
    [
        ((), "placed on triton-mms; waiting for 2 of 2 pods to read the new models.json"),
        (
            ("uid-pod-1",),
            "loaded on 1 of 2 replicas; placed on triton-mms; waiting for 1 of 2 pods to read the new models.json",
        ),
    ],
)
def test_loading_counts_the_ready_pods_that_have_not_read_models_json(
    reporting: tuple[str, ...], sentence: str
) -> None:
    observed, entry = settled_on("pod-1", "pod-2")
    unread = dict.fromkeys(("uid-pod-1", "uid-pod-2"), make.report())
    agents = unread | dict.fromkeys(reporting, make.report(entry))
    starting = make.pod("pod-3", ready=False)
    assert ready(replace(observed, agents=agents, pods=(*observed.pods, starting))) == ("False", "Pending", sentence)
