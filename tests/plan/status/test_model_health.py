"""Argo CD's health of TrainedModels: the Lua script of docs/argocd.md on statuses that plans make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.api.agentreport import ModelState
from manyserve.plan.observed import Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from manyserve.plan.status.events import PROGRESS
from manyserve.plan.status.model import HOST_NOT_FOUND
from tests.plan.test_plan import seen
from tests.plan.test_unmanaged import snapshot
from tests.support import argo_cd, make, world


def manifest(observed: Observed) -> dict[str, Any]:
    """Return the first model after one plan, as the API server has it."""
    return world.carry_out(observed, plan(observed, make.NOW)).models[0].to_wire()


def health(observed: Observed) -> tuple[str, str]:
    return argo_cd.health(argo_cd.script_of_models(), manifest(observed))


def reported(state: ModelState, **fields: Any) -> Observed:
    """Return a settled host with a model in this state on its pod."""
    settled = world.settle(seen(make.model()))
    config = settled.agents["uid-pod-1"].config
    report = make.report(entry_of(make.model()), state=state, config=config, **fields)
    return replace(settled, agents={"uid-pod-1": report})


def test_loaded_model_is_healthy() -> None:
    assert health(world.settle(seen(make.model())))[0] == "Healthy"


@pytest.mark.parametrize("state", [ModelState.PENDING, ModelState.DOWNLOADING, ModelState.LOADING])
def test_model_under_way_is_progressing(state: ModelState) -> None:
    assert health(reported(state))[0] == "Progressing"


def test_model_without_host_or_status_is_progressing() -> None:
    status, message = health(seen(make.model(), host=None, pods=()))
    assert (status, "which does not exist" in message) == ("Progressing", True)
    assert argo_cd.health(argo_cd.script_of_models(), make.model_object())[0] == "Progressing"
    assert health(seen(make.model(), pods=()))[0] == "Progressing"


@pytest.mark.parametrize("state", [ModelState.DOWNLOAD_FAILED, ModelState.LOAD_FAILED])
def test_model_that_fails_is_degraded_with_its_sentence(state: ModelState) -> None:
    status, message = health(reported(state, message="no such file", attempt=1))
    assert (status, "no such file" in message) == ("Degraded", True)


def test_model_that_cannot_be_placed_is_degraded() -> None:
    assert health(seen(make.model(memory="3Gi")))[0] == "Degraded"
    assert health(seen(make.model(framework="sklearn")))[0] == "Degraded"
    assert health(snapshot(make.model()))[0] == "Degraded", "its InferenceService is unmanaged"


def test_status_of_an_earlier_spec_or_object_is_progressing() -> None:
    loaded = manifest(world.settle(seen(make.model())))
    script = argo_cd.script_of_models()
    for change in ({"generation": 2}, {"uid": "another"}):
        edited = loaded | {"metadata": loaded["metadata"] | change}
        assert argo_cd.health(script, edited)[0] == "Progressing"


def test_script_waits_for_the_reasons_of_progress_alone() -> None:
    script = argo_cd.script_of_models()
    listed = script.partition("waiting = {")[2].partition("}")[0]
    assert {each.partition("=")[0].strip() for each in listed.split(",") if each.strip()} == {*PROGRESS, HOST_NOT_FOUND}
