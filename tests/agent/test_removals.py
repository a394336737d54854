"""Removals: the files of a removed model go, whatever state the server is in."""

from collections.abc import AsyncIterator

import pytest

from manyserve.agent.reconcile import GONE, Observed, OnDisk, ServerModel, ServerState, Step, plan
from manyserve.agent.removals import Removals
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

A = entry("a")
LOADED = OnDisk(A.digest, loaded=True)
READY = ServerModel(ServerState.READY)


@pytest.fixture
async def stage(pod: Pod) -> AsyncIterator[Pod]:
    """Return a pod with two loaded models, in which an unload is overdue after half a second, and a load after five."""
    pod.settings = pod.settings.model_copy(update={"unload_seconds": 0.5, "load_seconds": 5.0})
    await pod.running("a", "b")
    yield pod
    pod.triton.dead = False


async def files_go(pod: Pod, name: str) -> None:
    """Wait until no file of the model is left, and the others are."""
    await eventually(lambda: not [file for file in pod.files() if f"/{name}" in file], f"no files of {name}", 30)
    assert (pod.root / "models" / "b" / "content").exists()


async def folder_goes(pod: Pod, name: str) -> None:
    await eventually(lambda: not (pod.root / "models" / name).exists(), f"no folder of {name}", 30)


async def test_files_go_while_server_is_down(stage: Pod) -> None:
    stage.triton.die()
    await eventually(lambda: not stage.report.server_ready)
    stage.config.write(entry("b"))
    await files_go(stage, "a")
    stage.triton.dead = False
    await folder_goes(stage, "a")
    await stage.shows(b="Loaded")
    assert stage.triton.served == {"b": "b"}


async def test_model_of_server_that_answers_again_is_unloaded_after_its_files_went(stage: Pod) -> None:
    stage.triton.dead = True  # without the loss of its models, as a server that hangs
    await eventually(lambda: not stage.report.server_ready)
    stage.config.write(entry("b"))
    await files_go(stage, "a")
    assert stage.triton.served.keys() == {"a", "b"}
    stage.triton.dead = False
    await folder_goes(stage, "a")
    assert stage.triton.served == {"b": "b"}
    assert "unload a" in stage.triton.calls


async def test_files_go_while_server_refuses_the_unload(stage: Pod) -> None:
    stage.triton.keeping.add("a")
    stage.config.write(entry("b"))
    await files_go(stage, "a")
    assert stage.triton.states["a"] == ("READY", "")
    stage.triton.keeping.clear()
    await folder_goes(stage, "a")
    assert stage.triton.served == {"b": "b"}


async def test_files_go_while_load_hangs(stage: Pod) -> None:
    stage.bucket.put("h")
    stage.triton.hanging.add("h")
    stage.config.write(entry("a"), entry("b"), entry("h"))
    await eventually(lambda: stage.triton.states.get("h") == ("LOADING", ""))
    stage.config.write(entry("b"))
    await files_go(stage, "h")
    stage.triton.release.set()
    await folder_goes(stage, "h")
    await stage.shows(b="Loaded")


async def test_report_names_model_that_server_does_not_unload(stage: Pod) -> None:
    assert stage.report.not_unloaded == {}
    stage.triton.keeping.add("a")
    stage.config.write(entry("b"))
    await eventually(lambda: stage.report.not_unloaded == {"a": "it is in use"})
    await files_go(stage, "a")
    assert stage.report.not_unloaded == {"a": "it is in use"}
    stage.triton.keeping.clear()
    await eventually(lambda: stage.report.not_unloaded == {})


async def test_report_names_removed_model_with_hanging_load(stage: Pod) -> None:
    stage.bucket.put("h")
    stage.triton.hanging.add("h")
    stage.config.write(entry("a"), entry("b"), entry("h"))
    await eventually(lambda: stage.triton.states.get("h") == ("LOADING", ""))
    stage.config.write(entry("a"), entry("b"))
    await eventually(lambda: stage.report.not_unloaded == {"h": "the model server says LOADING"})
    stage.triton.release.set()
    await eventually(lambda: stage.report.not_unloaded == {})


async def test_report_names_no_model_while_server_is_down(stage: Pod) -> None:
    stage.triton.die()
    stage.config.write(entry("b"))
    await files_go(stage, "a")
    assert stage.report.not_unloaded == {}


async def test_model_is_loaded_again_after_its_files_went(stage: Pod) -> None:
    stage.triton.keeping.add("a")
    stage.config.write(entry("b"))
    await files_go(stage, "a")
    stage.bucket.put("new", "new")
    stage.config.write(entry("a", "gs://bucket/models/new"), entry("b"))
    await stage.shows(a="Loaded", b="Loaded")
    assert stage.triton.served["a"] == "new"


def removed(index: dict[str, ServerModel] | None, overdue: bool) -> Observed:
    return Observed({}, {"a": LOADED}, index, {}, frozenset({"a"} if overdue else ()))


@pytest.mark.parametrize("state", [None, *ServerState])
def test_plan_clears_files_of_overdue_removal_in_every_state(state: ServerState | None) -> None:
    index = None if state is None else {"a": ServerModel(state)}
    assert plan(removed(index, overdue=True), 0) == {"a": (Step.CLEAR,)}
    assert Step.CLEAR not in plan(removed(index, overdue=False), 0).get("a", ())


def test_removal_is_overdue_after_the_limit() -> None:
    removals, leaving = Removals(), Observed({"b": entry("b")}, {"a": LOADED, "b": LOADED}, {"b": READY, "c": READY})
    removals.update(leaving, 10, 60)
    assert removals.pending == {"a": 10, "c": 10}
    removals.update(leaving, 69, 60)
    assert removals.overdue == set()
    removals.update(leaving, 70, 60)
    assert removals.overdue == {"a", "c"}
    removals.cleared.add("a")
    assert removals.overdue == {"c"}


def test_removal_ends_when_model_is_desired_again_or_gone() -> None:
    removals = Removals()
    removals.update(Observed({}, {"a": LOADED}, {"c": READY}), 0, 60)
    removals.cleared.add("a")
    removals.update(Observed({"a": A}, {"a": LOADED}, {"c": GONE}), 100, 60)
    assert [*removals.pending, *removals.overdue, *removals.cleared] == []
    removals.update(Observed({}, {"a": LOADED}, {}), 101, 60)
    assert removals.pending == {"a": 101}, "the time begins anew"
