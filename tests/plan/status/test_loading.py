"""Condition `Loaded` while a model loads: its progress, the version that answers, and the number of writes."""

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
    settled = world.settle(replace(start, pods=tuple(make.pod(name) for name in pods)))
    return settled, entry_of(settled.models[0])


def ready(observed: Observed) -> tuple[str, str | None, str | None]:
    model = world.carry_out(observed, plan(observed, make.NOW)).models[0]
    condition = conditions.find(model.status.conditions, conditions.READY)
    assert condition is not None
    return condition.status, condition.reason, condition.message


def ready_with_report(**fields: object) -> tuple[str, str | None, str | None]:
    observed, entry = settled_on("pod-1")
    return ready(replace(observed, agents={"uid-pod-1": make.report(entry, **fields)}))  # type: ignore[arg-type]


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
def test_loading_message_has_the_progress_of_a_download(done: int | None, total: int | None, words: str) -> None:
    outcome = ready_with_report(state=ModelState.DOWNLOADING, bytes=done, bytes_total=total)
    assert outcome == ("False", "Downloading", f"pod-1: {words}")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ModelState.DOWNLOADING, "downloading 50 % (1 of 2 MiB)"),
        (ModelState.LOADING, "loading"),
        (ModelState.DOWNLOAD_FAILED, "it is gone (attempt 3)"),
        (ModelState.LOAD_FAILED, "it is gone (attempt 3)"),
    ],
)
def test_loading_message_says_that_the_previous_version_answers(state: ModelState, words: str) -> None:
    message = "it is gone" if "Failed" in state else ""
    outcome = ready_with_report(state=state, serving=True, bytes=MIB, bytes_total=2 * MIB, attempt=3, message=message)
    assert outcome == ("False", state, f"pod-1: {words}; the previous version still answers")


def test_loading_message_has_the_reason_of_a_pending_model() -> None:
    outcome = ready_with_report(state=ModelState.PENDING, message="waits for disk space")
    assert outcome == ("False", "Pending", "pod-1: pending: waits for disk space")


def test_input_15_loading_message_names_an_agent_with_an_unusable_models_json() -> None:
    observed, entry = settled_on("pod-1", "pod-2")
    error = "/mnt/configs/models.json cannot be used: no list"
    failed = make.report().model_copy(update={"config_error": error})
    status, reason, message = ready(replace(observed, agents={"uid-pod-1": make.report(entry), "uid-pod-2": failed}))
    assert (status, reason) == ("False", "Pending")
    assert message == f"loaded on 1 of 2 replicas; pod-2: {error}"
    _, _, message = ready(replace(observed, agents=dict.fromkeys(("uid-pod-1", "uid-pod-2"), failed)))
    assert message == f"pod-1: {error}"


def test_loaded_model_has_the_note_of_its_agent_and_stays_ready() -> None:
    observed, entry = settled_on("pod-1")
    note = "gs://bucket/cifar10 cannot be refreshed: it does not answer"
    noted = replace(observed, agents={"uid-pod-1": make.report(entry, message=note)})
    assert ready(noted) == ("True", None, f"pod-1: {note}")
    assert plan(noted, make.NOW).events == ()


def test_loading_progress_of_many_replicas_is_one_write() -> None:
    observed, entry = settled_on("pod-1", "pod-2", "pod-3")

    def downloading(*done: int) -> Observed:
        reports = (
            make.report(entry, state=ModelState.DOWNLOADING, bytes=each * MIB, bytes_total=100 * MIB) for each in done
        )
        return replace(observed, agents=dict(zip(("uid-pod-1", "uid-pod-2", "uid-pod-3"), reports, strict=True)))

    first = world.carry_out(downloading(10, 20, 30), plan(downloading(10, 20, 30), make.NOW))
    later = replace(first, agents=downloading(10, 99, 99).agents)
    assert plan(later, make.NOW).statuses == ()
    moved = plan(replace(first, agents=downloading(11, 99, 99).agents), make.NOW)
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
