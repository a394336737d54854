"""HTTP API of the agent."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from manyserve import version
from manyserve.agent.http_api import application
from manyserve.api.agentreport import AgentReport
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

pytestmark = DROPPED_STREAMS


@pytest.fixture
async def client(pod: Pod) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    await pod.start()
    async with TestClient(TestServer(application(pod.agent, pod.context))) as client:
        yield client


async def test_readyz_needs_settled_models_and_answering_server(
    pod: Pod,
    client: TestClient,  # type: ignore[type-arg]
) -> None:
    await eventually(lambda: pod.report.server_ready)
    answer = await client.get("/readyz")
    assert (answer.status, await answer.text()) == (503, "there is no models.json yet\n")
    pod.config.write()
    await eventually(lambda: pod.report.settled)
    assert (await client.get("/readyz")).status == 200
    await pod.server_stops()
    await eventually(lambda: not pod.report.server_ready)
    answer = await client.get("/readyz")
    assert (answer.status, await answer.text()) == (503, "the model server does not answer\n")


async def test_status_answers_long_poll_with_the_change(pod: Pod, client: TestClient) -> None:  # type: ignore[type-arg]
    await eventually(lambda: pod.report.server_ready)
    first = AgentReport.from_wire(await (await client.get("/status")).json())
    query = {"after": str(first.revision), "instance": first.instance, "wait": "20"}
    poll = asyncio.create_task(client.get("/status", params=query))
    pod.config.write()
    async with asyncio.timeout(10):
        second = AgentReport.from_wire(await (await poll).json())
    assert second.revision > first.revision
    assert second.instance == first.instance


async def test_traffic_of_a_loaded_model_that_the_server_does_not_count_yet_is_0(pod: Pod) -> None:
    async def no_counters(_: web.Request) -> web.Response:
        return web.Response(text="")

    app = web.Application()
    app.router.add_get("/metrics", no_counters)
    async with TestServer(app) as server:
        url = str(server.make_url("/metrics"))
        pod.settings = pod.settings.model_copy(update={"server_dialect": "mlserver", "server_metrics_url": url})
        await pod.running("m")
        async with TestClient(TestServer(application(pod.agent, pod.context))) as client:
            traffic = await (await client.get("/traffic")).json()
        assert traffic["models"] == {"m": {"requests": 0, "busyMicros": 0}}


async def test_status_rejects_invalid_numbers(client: TestClient) -> None:  # type: ignore[type-arg]
    for query in ("after=x", "wait=long", "hold=soon", "hold=-1", "hold=nan"):
        assert (await client.get(f"/status?{query}")).status == 400


async def test_status_puts_a_hold_in_force_at_once(pod: Pod) -> None:
    pod.settings = pod.settings.model_copy(update={"silence_seconds": 600})
    pod.bucket.put("slow")
    pod.bucket.fault = "hang get"
    pod.config.write(entry("slow"))
    await pod.start()
    async with TestClient(TestServer(application(pod.agent, pod.context))) as client:
        await eventually(lambda: pod.states() == {"slow": "Downloading"} and pod.report.server_ready)
        await client.get("/status?hold=86400")
        answer = await client.get("/readyz")
        assert (answer.status, await answer.text()) == (503, "the pod waits for models\n")
        query = {"after": str(pod.report.revision), "instance": pod.report.instance, "wait": "20", "hold": "0"}
        poll = asyncio.create_task(client.get("/status", params=query))
        await eventually(lambda: pod.report.settled)
        async with asyncio.timeout(30):
            assert (await poll).status == 200, "the change ends the wait"
        await client.get("/status?hold=86400")
        assert (await client.get("/readyz")).status == 200


async def test_healthz_fails_when_the_loop_stalls(pod: Pod, client: TestClient) -> None:  # type: ignore[type-arg]
    assert (await client.get("/healthz")).status == 200
    await pod.stop()
    pod.agent.last_pass -= 61
    answer = await client.get("/healthz")
    assert answer.status == 503
    assert "has stalled" in await answer.text()


async def test_metrics_count_models_failures_and_bytes(pod: Pod, client: TestClient) -> None:  # type: ignore[type-arg]
    pod.bucket.put("a", "12345")
    pod.config.write(entry("a"), entry("missing"))
    await pod.shows(a="Loaded", missing="DownloadFailed")
    text = await (await client.get("/metrics")).text()
    assert 'manyserve_agent_models{state="Loaded"} 1.0' in text
    assert 'manyserve_agent_failures_total{reason="not_found",stage="download"} ' in text
    assert "manyserve_agent_download_bytes_total 12.0" in text
    assert "manyserve_agent_load_duration_seconds_count 1.0" in text
    assert "manyserve_agent_download_duration_seconds_count 1.0" in text
    assert 'manyserve_agent_models{state="LoadFailed"} 0.0' in text
    assert "manyserve_agent_event_loop_lag_seconds " in text
    assert f'manyserve_build_info{{version="{version()}"}} 1.0' in text


async def test_metrics_have_time_of_config(pod: Pod, client: TestClient) -> None:  # type: ignore[type-arg]
    pod.context.unix_time = lambda: 1000.0
    pod.config.write()
    await eventually(lambda: pod.report.config)
    pod.context.unix_time = lambda: 2000.0
    pod.config.write_text("[")
    await eventually(lambda: pod.report.config_error)
    text = await (await client.get("/metrics")).text()
    assert "manyserve_agent_config_timestamp_seconds 1000.0" in text
    assert "manyserve_agent_config_error 1.0" in text
