"""Counts of models by host and state, and times from apply to ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.cluster.model_counts import ModelCounts
from manyserve.plan.status.context import HOST_NOT_READY
from manyserve.plan.status.model import HOST_NOT_FOUND, NO_MEMORY
from manyserve.plan.status.model_state import WAITING, CountedState, StateOfModel, state_of
from tests.support import make

HOST = Key("default", "triton-mms")


def model(
    ready: str | None = None, reason: str = "", *, generation: int = 1, seen: int | None = None, **fields: Any
) -> TrainedModel:
    """Return a model with a stored status about a generation."""
    manifest = make.model_object(**fields)
    manifest["metadata"]["generation"] = generation
    if ready is not None:
        condition = {"type": "Ready", "status": ready} | ({"reason": reason} if reason else {})
        manifest["status"] = {
            "conditions": [condition],
            "observedGeneration": seen or generation,
            "observedUid": manifest["metadata"]["uid"],
        }
    return TrainedModel.from_wire(manifest)


@dataclass
class Case:
    """Counts with a clock, and the outcomes that they reported."""

    now: Any = make.NOW
    outcomes: list[tuple[str, float]] = field(default_factory=list)
    counts: ModelCounts = field(init=False)
    last: TrainedModel | None = None

    def __post_init__(self) -> None:
        self.counts = ModelCounts(lambda: self.now)
        self.counts.on_outcome = lambda state, seconds: self.outcomes.append((state.value, seconds))

    def change(self, after: TrainedModel | None, seconds: float = 0.0) -> None:
        """Let time pass, and replace the model."""
        self.now += timedelta(seconds=seconds)
        if self.last is not None:
            self.counts.remove(HOST, self.last)
        if after is not None:
            self.counts.add(HOST, after)
        self.last = after

    def states(self) -> dict[str, int]:
        return {state.value: count for (state, _), count in self.counts.by_host.get(HOST, {}).items()}


@pytest.mark.parametrize(
    ("ready", "reason", "state"),
    [
        (None, "", "loading"),
        ("True", "", "ready"),
        ("True", "ContentRefused", "ready"),
        ("False", "Pending", "loading"),
        ("False", "Downloading", "loading"),
        ("False", "Loading", "loading"),
        ("False", "DownloadFailed", "failed"),
        ("False", "LoadFailed", "failed"),
        ("False", "InvalidSpec", "failed"),
        ("False", "FrameworkNotSupported", "failed"),
        ("False", "a forged word", "failed"),
        *(("False", reason, "waiting") for reason in WAITING),
    ],
)
def test_state_of_a_model_follows_the_reason_of_ready(ready: str | None, reason: str, state: str) -> None:
    assert state_of(model(ready, reason)).state == state


def test_state_of_a_model_ignores_a_status_about_an_earlier_spec_or_another_object() -> None:
    assert state_of(model("True", generation=2, seen=1)).state is CountedState.LOADING
    restored = model("True")
    restored = restored.model_copy(update={"metadata": restored.metadata.model_copy(update={"uid": "other"})})
    assert state_of(restored).state is CountedState.LOADING


def test_reasons_are_counted_for_waiting_models_only() -> None:
    assert state_of(model("False", NO_MEMORY)) == StateOfModel(CountedState.WAITING, NO_MEMORY)
    assert state_of(model("False", "LoadFailed")).reason == ""


def test_counts_follow_additions_changes_and_removals() -> None:
    case = Case()
    case.change(model())
    assert case.states() == {"loading": 1}
    case.change(model("False", "LoadFailed"))
    assert case.states() == {"failed": 1}
    case.change(model("True"))
    case.counts.add(HOST, model(name="other"))
    assert case.states() == {"ready": 1, "loading": 1}
    case.change(None)
    case.counts.remove(HOST, model(name="other"))
    assert dict(case.counts.by_host) == {}


def test_first_spec_is_timed_from_the_creation() -> None:
    case = Case()
    case.change(model(created="2025-12-31T23:59:50Z"))
    case.change(model("False", "Downloading", created="2025-12-31T23:59:50Z"), 1)
    case.change(model("True", created="2025-12-31T23:59:50Z"), 4)
    case.change(model("False", "Pending", created="2025-12-31T23:59:50Z"), 60)
    case.change(model("True", created="2025-12-31T23:59:50Z"), 60)
    assert case.outcomes == [("ready", 15.0)], "a later fall of Ready is no apply"


def test_later_spec_is_timed_from_its_change() -> None:
    case = Case()
    case.change(model("True"))
    case.change(model("True", generation=2, seen=1), 100)
    case.change(model("False", "Loading", generation=2), 2)
    case.change(model("True", generation=2), 3)
    assert case.outcomes == [("ready", 5.0)]


def test_first_failure_and_the_later_success_are_both_reported() -> None:
    case = Case()
    case.change(model())
    case.change(model("False", "DownloadFailed"), 3)
    case.change(model("False", "Downloading"), 3)
    case.change(model("False", "DownloadFailed"), 3)
    case.change(model("True"), 3)
    assert case.outcomes == [("failed", 3.0), ("ready", 12.0)]


def test_wait_for_a_host_or_for_memory_is_not_counted() -> None:
    case = Case()
    case.change(model())
    case.change(model("False", HOST_NOT_FOUND), 1)
    case.change(model("False", HOST_NOT_READY), 3600)
    case.change(model("False", "Loading"), 60)
    case.change(model("True"), 2)
    assert case.outcomes == [("ready", 2.0)]


def test_model_with_a_status_at_the_start_of_the_operator_is_not_timed() -> None:
    case = Case()
    case.change(model("False", "Loading"))
    case.change(model("True"), 3)
    assert case.outcomes == []


def test_deleted_model_leaves_nothing() -> None:
    case = Case()
    case.change(model())
    case.change(None, 5)
    assert case.counts._applied == {}
    assert case.outcomes == []
