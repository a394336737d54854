"""Readiness gate of a new pod, with holds of the operator and without them, by a fake clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from manyserve.agent.readiness import ReadinessGate
from manyserve.agent.reconcile import Observed, OnDisk, ServerModel, ServerState
from manyserve.agent.retry import RetryState, Stage
from manyserve.agent.volume.store import Store
from manyserve.api.agentreport import LONGEST_HOLD
from manyserve.api.modelconfig import Entry
from tests.agent.support import entry
from tests.support.clock import FakeClock

LIMIT, SILENCE, TIMEOUT, POLL = 1800.0, 60.0, 1200.0, 5.0
A, B = entry("a"), entry("b")
MODELS = {"a": A, "b": B}
READY, LOADING = ServerModel(ServerState.READY), ServerModel(ServerState.LOADING)
DISK = {name: OnDisk(each.digest, loaded=True) for name, each in MODELS.items()}
NO_SERVER = Observed(MODELS, {}, None)
DOWNLOADING = Observed(MODELS, {"a": DISK["a"]}, {"a": READY})
LOADED = Observed(MODELS, DISK, {"a": READY, "b": READY})
SLOW_LOAD = Observed(MODELS, DISK | {"b": OnDisk(B.digest)}, {"a": READY, "b": LOADING})
FAILED = Observed(MODELS, {"a": DISK["a"]}, {"a": READY}, {"b": RetryState(B.digest, Stage.DOWNLOAD, 1, "no objects")})


class Gate:
    """A gate with its clock, and an operator that repeats its hold every few seconds."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.gate = ReadinessGate(Store(folder), LIMIT, SILENCE)

    def hold(self, hold: float) -> None:
        self.gate.hold(hold, self.clock())

    def opens(self, observed: Observed, config: dict[str, Entry] | None = MODELS) -> bool:
        return self.gate.update(config, observed, self.clock())

    def opens_within(self, seconds: float, observed: Observed, hold: float | None = None) -> bool:
        """Return whether the gate opens within so many seconds, while the operator polls with this hold."""
        end = self.clock.now + seconds
        while not self.opens(observed) and self.clock.now < end:
            self.clock.now += POLL
            if hold is not None:
                self.hold(hold)
        return self.opens(observed)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


@pytest.mark.parametrize("observed", [DOWNLOADING, SLOW_LOAD, FAILED])
def test_gate_without_another_ready_pod_opens_at_the_first_answer_of_the_server(gate: Gate, observed: Observed) -> None:
    assert not gate.opens_within(600, NO_SERVER, hold=0), "the server does not answer"
    assert gate.opens(observed)


@pytest.mark.parametrize("observed", [DOWNLOADING, SLOW_LOAD])
def test_gate_waits_for_a_slow_model_longer_than_any_timeout(gate: Gate, observed: Observed) -> None:
    gate.hold(LONGEST_HOLD)
    assert not gate.opens_within(3 * LIMIT, observed, hold=LONGEST_HOLD)
    gate.hold(0)
    assert gate.opens(observed), "it does not answer elsewhere any more"


def test_gate_opens_when_all_models_are_loaded_whatever_the_hold(gate: Gate) -> None:
    gate.hold(LONGEST_HOLD)
    assert not gate.opens(DOWNLOADING)
    assert gate.opens(LOADED)
    assert gate.opens(FAILED), "it never closes again"


def test_gate_waits_for_a_failing_model_until_the_timeout_after_the_first_answer_of_the_server(gate: Gate) -> None:
    assert not gate.opens_within(3600, NO_SERVER, hold=TIMEOUT)
    assert not gate.opens_within(TIMEOUT - POLL, FAILED, hold=TIMEOUT)
    assert gate.opens_within(POLL, FAILED, hold=TIMEOUT)


def test_gate_without_polls_opens_when_each_model_is_loaded_or_failed(gate: Gate) -> None:
    assert not gate.opens_within(SILENCE - POLL, FAILED), "the operator may still come"
    assert gate.opens_within(POLL, FAILED)


@pytest.mark.parametrize("observed", [DOWNLOADING, SLOW_LOAD])
def test_gate_without_polls_waits_for_a_slow_model_until_the_limit(gate: Gate, observed: Observed) -> None:
    assert not gate.opens_within(LIMIT - POLL, observed)
    assert gate.opens_within(POLL, observed)


def test_gate_keeps_its_hold_while_the_operator_restarts(gate: Gate) -> None:
    gate.hold(LONGEST_HOLD)
    assert not gate.opens_within(LIMIT, FAILED, hold=LONGEST_HOLD)
    assert not gate.opens_within(SILENCE - POLL, FAILED), "no poll comes, for less than the silence"
    gate.hold(LONGEST_HOLD)
    assert not gate.opens_within(SILENCE - POLL, FAILED)
    assert gate.opens_within(POLL, FAILED), "the operator is gone"


def test_gate_ends_the_longest_hold(gate: Gate) -> None:
    assert not gate.opens_within(LONGEST_HOLD - POLL, DOWNLOADING, hold=1e9)
    assert gate.opens_within(POLL, DOWNLOADING, hold=1e9), "any pod of the cluster may send a hold"


def test_gate_needs_a_config(gate: Gate) -> None:
    gate.hold(0)
    assert not gate.opens(LOADED, None)
    assert gate.opens(LOADED)


def test_hold_of_an_open_gate_changes_nothing(gate: Gate) -> None:
    assert gate.gate.hold(TIMEOUT, 0)
    assert not gate.gate.hold(TIMEOUT, 5), "it is in force already"
    assert gate.gate.hold(0, 5)
    assert gate.opens(DOWNLOADING)
    assert not gate.gate.hold(TIMEOUT, 10)
    assert gate.opens(DOWNLOADING)


@pytest.mark.parametrize("hold", [0.0, TIMEOUT])
async def test_gate_of_a_settled_pod_waits_for_lost_models_at_most_as_long_as_its_hold(
    tmp_path: Path, hold: float
) -> None:
    Store(tmp_path).open()
    Store(tmp_path).settle()
    gate = Gate(tmp_path)
    await gate.gate.restore()
    lost = Observed(MODELS, DISK, {})
    gate.hold(hold)
    assert gate.opens(lost) is (hold == 0)
    assert gate.opens_within(TIMEOUT, lost, hold=hold)
