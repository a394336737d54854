"""Agent with real servers: MLServer, and one like KServe's own."""

from __future__ import annotations

import asyncio
import json

import pytest

from manyserve.api.agentreport import ModelState
from tests.agent.servers.rig import POLL_SECONDS, START_SECONDS, Rig
from tests.agent.support import entry
from tests.support.eventually import eventually
from tests.support.figures import Figures

pytestmark = pytest.mark.servers


async def answers(rig: Rig, name: str, value: float) -> None:
    """Wait until a model answers with this value."""

    async def has_value() -> bool:
        return await rig.answer(name) == value

    await eventually(has_value, f"{name} answers {value}", START_SECONDS, POLL_SECONDS)


async def kill_server(rig: Rig) -> None:
    """Kill the server, and wait until the agent has seen it."""
    await rig.kill("server")

    async def is_gone() -> bool:
        report = await rig.report()
        return report is not None and not report.server_ready and report.models["a"].state is not ModelState.LOADED

    await eventually(is_gone, "the agent reports that the server is down", START_SECONDS, POLL_SECONDS)


async def test_agent_loads_swaps_and_unloads_models(rig: Rig) -> None:
    rig.put("two", 2)
    rig.put("three", 3)
    rig.config.write(entry("a", "gs://bucket/models/two"), entry("b", "gs://bucket/models/two"))
    await rig.shows(a="Loaded", b="Loaded")
    assert await rig.answer("a") == await rig.answer("b") == 2
    rig.config.write(entry("a", "gs://bucket/models/three"), entry("b", "gs://bucket/models/two"))
    await answers(rig, "a", 3)
    assert await rig.answer("b") == 2
    rig.config.write(entry("b", "gs://bucket/models/two"))
    await rig.shows(b="Loaded")
    await answers(rig, "a", 404)
    await eventually(lambda: not (rig.models / "a").exists())
    assert await rig.answer("b") == 2


async def test_agent_reports_bad_model_while_previous_version_answers(rig: Rig) -> None:
    rig.put("two", 2)
    rig.put("bad", None)
    rig.config.write(entry("a", "gs://bucket/models/two"), entry("b", "gs://bucket/models/bad"))
    reports = await rig.shows(a="Loaded", b="LoadFailed")
    assert "UnpicklingError" in reports["b"].message or "KeyError" in reports["b"].message
    rig.config.write(entry("a", "gs://bucket/models/bad"))
    await rig.shows(a="LoadFailed")
    assert await rig.answer("a") == 2
    rig.config.write(entry("a", "gs://bucket/models/two"))
    await rig.shows(a="Loaded")
    assert await rig.answer("a") == 2


async def test_agent_reloads_models_after_server_restart(rig: Rig) -> None:
    rig.put("two", 2)
    rig.config.write(entry("a", "gs://bucket/models/two"))
    before = (await rig.shows(a="Loaded"))["a"]
    gets = len(rig.bucket.gets)
    await kill_server(rig)
    await rig.start_server()
    after = (await rig.shows(a="Loaded"))["a"]
    assert await rig.answer("a") == 2
    assert after.digest == before.digest
    assert len(rig.bucket.gets) == gets, "it was downloaded again"


async def test_agent_restart_adopts_loaded_models_without_loads(rig: Rig) -> None:
    rig.put("two", 2)
    rig.config.write(entry("a", "gs://bucket/models/two"))
    await rig.shows(a="Loaded")
    loads = (rig.folder / "server.log").read_text().count("/load HTTP")
    await rig.kill("agent")
    await rig.start_agent()
    await rig.shows(a="Loaded")
    assert (rig.folder / "server.log").read_text().count("/load HTTP") == loads


async def test_swap_loses_no_answer(rig: Rig) -> None:
    rig.put("two", 2)
    rig.put("three", 3)
    rig.config.write(entry("a", "gs://bucket/models/two"))
    await rig.shows(a="Loaded")
    answered: list[float] = []

    async def ask() -> None:
        while True:
            answered.append(await rig.answer("a"))

    asking = [asyncio.create_task(ask()) for _ in range(2)]
    for source in ("three", "two", "three"):
        rig.config.write(entry("a", f"gs://bucket/models/{source}"))
        await answers(rig, "a", 3 if source == "three" else 2)
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    assert set(answered) == {2, 3}


@pytest.mark.parametrize("rig", ["mlserver"], indirect=True)
async def test_mlserver_settings_with_another_name_are_corrected(rig: Rig) -> None:
    settings = {"name": "other", "parameters": {"extra": {"kept": True}}}
    rig.put("two", 2, **{"model-settings.json": json.dumps(settings).encode()})
    rig.config.write(entry("a", "gs://bucket/models/two"))
    await rig.shows(a="Loaded")
    assert await rig.answer("a") == 2
    assert json.loads((rig.models / "a" / "model-settings.json").read_text()) == settings | {"name": "a"}


@pytest.mark.parametrize("rig", ["mlserver"], indirect=True)
async def test_mlserver_counts_a_model_from_its_first_request_on_and_the_agent_says_0_before(rig: Rig) -> None:
    rig.put("two", 2)
    rig.config.write(entry("a", "gs://bucket/models/two"), entry("b", "gs://bucket/models/two"))
    await rig.shows(a="Loaded", b="Loaded")
    assert await rig.requests() == {"a": 0, "b": 0}
    assert await rig.answer("a") == 2

    async def is_counted() -> bool:
        return await rig.requests() == {"a": 1, "b": 0}

    await eventually(is_counted, "the request is counted", START_SECONDS, POLL_SECONDS)
    async with rig.http.get(rig.settings["MANYSERVE_SERVER_METRICS_URL"]) as page:
        text = await page.text()
    assert ('model="a"' in text, 'model="b"' in text) == (True, False)


@pytest.mark.parametrize("rig", ["mlserver"], indirect=True)
@pytest.mark.parametrize("folder", ["assets", "b", "deep/b"])
async def test_mlserver_model_does_not_answer_in_place_of_another(rig: Rig, tenants: Figures, folder: str) -> None:
    """A model with settings in an inner folder, by the name of another model, leaves that one its content."""
    rig.put("two", 2)
    settings = {} if folder.endswith("b") else {"name": "b"}
    inner = {f"{folder}/model-settings.json": json.dumps(settings).encode(), f"{folder}/model.joblib": rig.lines[3]}
    rig.put("attack", 3, **inner, **{"model-settings.json": b'{"NAME": "b", "name": "b"}'})
    rig.config.write(entry("a", "gs://bucket/models/attack"))
    await rig.shows(a="Loaded")
    rig.config.write(entry("a", "gs://bucket/models/attack"), entry("b", "gs://bucket/models/two"))
    await rig.shows(a="Loaded", b="Loaded")
    answers = [await rig.answer("b"), await rig.answer("a")]
    await kill_server(rig)
    await rig.start_server()
    await rig.shows(a="Loaded", b="Loaded")
    answers += [await rig.answer("b"), await rig.answer("a")]
    wrong = sum(answer != right for answer, right in zip(answers, (2, 3) * 2, strict=True))
    tenants.take(f"settings of another model in {folder}: its answers in place of the victim's", wrong, "", exactly=0)
    assert answers == [2, 3] * 2
