"""Regression tests of faults in KServe's agent, as reproduced on its unmodified source."""

import pytest

from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = [DROPPED_STREAMS, pytest.mark.usefixtures("short_waits")]


@pytest.mark.parametrize("count", [100, 101, 150])
async def test_kserve_r1_agent_start_loads_any_number_of_models(pod: Pod, count: int) -> None:
    await pod.running(*(f"m{number}" for number in range(count)))
    assert pod.report.settled
    assert len(pod.triton.calls) == count


async def test_kserve_r2_changed_model_is_loaded_only_once(pod: Pod) -> None:
    await pod.running("a", "b", "c")
    pod.bucket.put("a2", "second")
    models = [entry("a", "gs://bucket/models/a2"), entry("b"), entry("c")]
    pod.config.write(*models)
    await eventually(lambda: pod.triton.served["a"] == "second" and pod.states()["a"] == "Loaded")
    for name in ("x", "y", "z"):
        pod.bucket.put(name)
        models.append(entry(name))
        pod.config.write(*models)
        expected = {model.model_name: "Loaded" for model in models}
        await eventually(lambda expected=expected: pod.states() == expected)  # type: ignore[misc]
    assert pod.triton.loads("a") == 2
    assert not [call for call in pod.triton.calls if call.startswith("unload")]


async def test_kserve_r3_files_exist_until_server_has_unloaded_model(pod: Pod) -> None:
    pod.triton.lagging.add("a")
    await pod.running("a")
    pod.config.write()
    await eventually(lambda: not list(pod.files()))
    assert not pod.triton.torn
    assert pod.triton.states["a"] == ("UNAVAILABLE", "unloaded")


async def test_kserve_r4_restart_of_agent_and_server_reloads_all_models(pod: Pod) -> None:
    await pod.running("a", "b")
    gets = len(pod.bucket.gets)
    await pod.stop()
    await pod.server_stops()
    await pod.server_starts()
    await pod.start()
    await pod.shows(a="Loaded", b="Loaded")
    assert (pod.triton.loads("a"), pod.triton.loads("b")) == (2, 2)
    assert len(pod.bucket.gets) == gets, "the files are still there"


async def test_kserve_r5_agent_restart_removes_model_removed_meanwhile(pod: Pod) -> None:
    await pod.running("a", "b")
    await pod.stop()
    pod.config.write(entry("b"))
    await pod.start()
    await eventually(lambda: pod.report.settled)
    await pod.shows(b="Loaded")
    await eventually(lambda: list(pod.triton.served) == ["b"] and not (pod.root / "models" / "a").exists())
    assert pod.triton.loads("b") == 1


async def test_kserve_r6_failed_download_is_retried(pod: Pod) -> None:
    pod.bucket.put("a")
    pod.bucket.fault = "status 503"
    pod.config.write(entry("a"))
    await pod.start()
    await pod.shows(a="DownloadFailed")
    pod.bucket.fault = ""
    await pod.shows(a="Loaded")
