"""Ensembles: loaded only with steps that are desired and loaded."""

import pytest

from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]

MISSING = "its step post is not a TrainedModel of this host"


def put(pod: Pod, name: str, *steps: str) -> None:
    """Put an ensemble into the bucket, under a name of its own."""
    listed = ", ".join(f'{{ model_name: "{step}" model_version: -1 }}' for step in steps)
    config = f'platform: "ensemble"\nensemble_scheduling {{ step [ {listed} ] }}\n'
    pod.bucket.put(name, name)
    pod.bucket.objects[f"models/{name}/config.pbtxt"] = config.encode()


@pytest.fixture
async def stage(pod: Pod) -> Pod:
    """Return a pod with the steps and the ensemble in the bucket."""
    for name in ("pre", "post"):
        pod.bucket.put(name, name)
    put(pod, "ens", "pre", "post")
    return pod


async def loaded(pod: Pod) -> None:
    """Start with the ensemble and its steps, and wait until all are loaded."""
    pod.config.write(*map(entry, ("ens", "pre", "post")))
    await pod.start()
    await pod.shows(ens="Loaded", pre="Loaded", post="Loaded")


async def fails(pod: Pod, message: str) -> None:
    await eventually(lambda: pod.states().get("ens") == "LoadFailed" and pod.model("ens").message == message)


async def test_ensemble_is_loaded_after_its_steps(stage: Pod) -> None:
    await loaded(stage)
    assert stage.triton.calls[-1] == "load ens"
    assert len(stage.triton.calls) == 3, "no load failed"


async def test_deleted_step_is_unloaded_and_ensemble_names_it(stage: Pod) -> None:
    await loaded(stage)
    stage.config.write(entry("ens"), entry("pre"))
    await fails(stage, MISSING)
    await eventually(lambda: not (stage.root / "models" / "post").exists())
    assert stage.triton.served == {"pre": "pre"}
    await eventually(lambda: stage.context.state.retries["ens"].failures > 3)
    assert stage.triton.loads("ens") == 1, "it is not loaded over and over"
    assert stage.triton.served == {"pre": "pre"}
    assert stage.model("ens").permanent


async def test_ensemble_is_loaded_again_with_its_step(stage: Pod) -> None:
    await loaded(stage)
    stage.config.write(entry("ens"), entry("pre"))
    await fails(stage, MISSING)
    await eventually(lambda: "post" not in stage.context.state.disk)
    stage.config.write(*map(entry, ("ens", "pre", "post")))
    await stage.shows(ens="Loaded", pre="Loaded", post="Loaded")
    assert stage.triton.served.keys() == {"ens", "pre", "post"}


async def test_new_ensemble_without_step_is_not_loaded_until_step_is(stage: Pod) -> None:
    stage.config.write(entry("ens"), entry("pre"))
    await stage.start()
    await fails(stage, MISSING)
    assert stage.triton.loads("ens") == 0
    assert stage.context.state.retries["ens"].missing_step == "post"
    stage.config.write(*map(entry, ("ens", "pre", "post")))
    await stage.shows(ens="Loaded", pre="Loaded", post="Loaded")
    assert stage.triton.calls.index("load post") < stage.triton.calls.index("load ens")


async def test_ensemble_with_failed_step_names_it(stage: Pod) -> None:
    stage.triton.refusing["post"] = "bad weights"
    stage.config.write(*map(entry, ("ens", "pre", "post")))
    await stage.start()
    await fails(stage, "its step post is not loaded")
    assert stage.triton.loads("ens") == 0
    del stage.triton.refusing["post"]
    await stage.shows(ens="Loaded", pre="Loaded", post="Loaded")


async def test_ensemble_does_not_load_its_quarantined_step(stage: Pod) -> None:
    stage.triton.poison.add("post")
    stage.config.write(*map(entry, ("ens", "pre", "post")))
    await stage.start()
    for times in (1, 2):
        await eventually(lambda: len(stage.triton.deaths) == times and not stage.report.server_ready)  # noqa: B023
        stage.triton.dead = False
    await eventually(lambda: stage.states() == {"ens": "LoadFailed", "pre": "Loaded", "post": "LoadFailed"})
    failures = stage.context.state.retries["ens"].failures
    await eventually(lambda: stage.context.state.retries["ens"].failures > failures + 2)
    assert len(stage.triton.deaths) == 2
    assert stage.triton.loads("ens") == 0


async def test_ensemble_waits_for_download_of_its_step(stage: Pod) -> None:
    stage.settings = stage.settings.model_copy(update={"parallel_downloads": 1, "download_slot_seconds": 0.1})
    stage.config.write(entry("ens"), entry("pre"))
    await stage.start()
    await fails(stage, MISSING)
    stage.bucket.fault = "hang get"
    stage.config.write(*map(entry, ("ens", "pre", "post")))
    await stage.shows(ens="LoadFailed", pre="Loaded", post="Downloading")
    await eventually(lambda: (job := stage.agent._jobs.get("ens")) and "its step post" in job[0].progress.note)
    assert stage.triton.loads("ens") == 0


async def test_previous_version_answers_while_new_version_lacks_a_step(stage: Pod) -> None:
    await loaded(stage)
    put(stage, "ens2", "pre", "absent")
    stage.config.write(entry("ens", "gs://bucket/models/ens2"), entry("pre"), entry("post"))
    await fails(stage, "its step absent is not a TrainedModel of this host")
    assert stage.model("ens").serving
    assert stage.triton.served["ens"] == "ens"
    assert stage.triton.loads("ens") == 1


async def test_repaired_ensemble_is_loaded(stage: Pod) -> None:
    put(stage, "ens", "pre", "absent")
    stage.config.write(*map(entry, ("ens", "pre", "post")))
    await stage.start()
    await fails(stage, "its step absent is not a TrainedModel of this host")
    put(stage, "ens", "pre", "post")
    await stage.shows(ens="Loaded", pre="Loaded", post="Loaded")


async def test_ensembles_that_are_steps_of_each_other_fail(stage: Pod) -> None:
    put(stage, "ens", "other")
    put(stage, "other", "ens")
    stage.config.write(entry("ens"), entry("other"))
    await stage.start()
    await stage.shows(ens="LoadFailed", other="LoadFailed")
    assert "its step" in stage.model("ens").message
    assert not stage.triton.calls


async def test_ensemble_in_ensemble_is_loaded_after_it(stage: Pod) -> None:
    put(stage, "all", "ens")
    stage.config.write(*map(entry, ("all", "ens", "pre", "post")))
    await stage.start()
    await eventually(lambda: set(stage.states().values()) == {"Loaded"} and len(stage.states()) == 4)
    assert stage.triton.calls[-2:] == ["load ens", "load all"]
    assert stage.report.settled
