"""Life of the webhook process from start to stop, against an API server in memory."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from manyserve.api.errors import StartupError
from manyserve.api.scope import Scope
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import ClusterConfig
from manyserve.webhook import main
from manyserve.webhook.metrics import Metrics
from manyserve.webhook.settings import WebhookSettings
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi, served
from tests.support.make import Manifest, host_object, model_object
from tests.support.programs import free_port
from tests.webhook.certs.test_rotation import api, bundle_in
from tests.webhook.reviews import review_of, waiting

CONFIG = "/api/v1/namespaces/system/configmaps/inferenceservice-config"
TRITON = {"image": "x", "supportedFrameworks": ["pytorch"], "multiModelServer": True}


def config_map(predictors: Any) -> Manifest:
    metadata = {"name": "inferenceservice-config", "namespace": "system"}
    return {"kind": "ConfigMap", "metadata": metadata, "data": {"predictors": json.dumps(predictors)}}


def path_of(manifest: Manifest) -> str:
    version = "v1beta1" if manifest["kind"] == "InferenceService" else "v1alpha1"
    plural = f"{manifest['kind'].lower()}s"
    return f"/apis/serving.kserve.io/{version}/namespaces/default/{plural}/{manifest['metadata']['name']}"


@dataclass
class WebhookEnv:
    """A webhook in an event loop, its API server, and a client that trusts the registered CA."""

    server: FakeApi
    settings: WebhookSettings
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def ask(self, new: Manifest, old: Manifest | None = None) -> dict[str, Any]:
        tls = ssl.create_default_context(cadata=bundle_in(self.server).decode())
        url = f"https://localhost:{self.settings.port}/validate"
        async with aiohttp.ClientSession() as client:
            call = client.post(url, json=review_of(new, old), ssl=tls, server_hostname="w.system.svc")
            async with call as answer:
                response: dict[str, Any] = (await answer.json())["response"]
                return response

    async def status(self, path: str) -> int:
        url = f"http://localhost:{self.settings.metrics_port}{path}"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return answer.status

    async def metrics(self) -> str:
        url = f"http://localhost:{self.settings.metrics_port}/metrics"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return await answer.text()

    async def until_ready(self) -> None:
        async def is_ready() -> bool:
            if self.task.done():
                await self.task
            try:
                return await self.status("/readyz") == 200
            except aiohttp.ClientError:
                return False

        await eventually(is_ready, "the webhook is ready")

    async def until_allowed(self, model: Manifest, *, allowed: bool) -> dict[str, Any]:
        async def expected_response() -> dict[str, Any] | None:
            response = await self.ask(model)
            return response if response["allowed"] is allowed else None

        result: dict[str, Any] = await eventually(expected_response, f"allowed is {allowed}")
        return result


def settings() -> WebhookSettings:
    return WebhookSettings(
        namespace="system",
        service="w",
        secret="w-certificate",
        configuration="w",
        port=free_port(),
        metrics_port=free_port(),
    )


@pytest_asyncio.fixture
async def env(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebhookEnv]:
    monkeypatch.setattr(main, "DRAIN_SECONDS", 0.5)
    server, env_settings, stop = api(), settings(), asyncio.Event()
    server.put(CONFIG, config_map({"triton": TRITON}))
    server.put(path_of(host_object()), host_object())
    async with served(server) as client:
        task = asyncio.create_task(main.serve(env_settings, client, stop, Metrics()))
        running = WebhookEnv(server, env_settings, stop, task)
        await running.until_ready()
        yield running
        stop.set()
        await task


@pytest.fixture
def rotation_end(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """End the task of the rotation when this event is set."""
    end = asyncio.Event()

    async def run_until_end(*_: object) -> None:
        await end.wait()
        raise ValueError

    monkeypatch.setattr(main, "run_rotation", run_until_end)
    return end


async def test_webhook_follows_changes_of_cluster(env: WebhookEnv) -> None:
    assert (await env.ask(model_object("a", memory="3Gi")))["allowed"] is False
    env.server.put(path_of(host_object()), host_object(memory="4Gi"))
    await env.until_allowed(model_object("b", memory="3Gi"), allowed=True)
    env.server.put(path_of(model_object("b")), waiting(model_object("b", memory="3Gi")))
    await env.until_allowed(model_object("c", memory="3Gi"), allowed=True)


async def test_webhook_follows_configuration_and_ignores_invalid_edit(env: WebhookEnv) -> None:
    assert (await env.ask(model_object(framework="onnx")))["allowed"] is False
    env.server.put(CONFIG, config_map({"triton": TRITON | {"supportedFrameworks": ["onnx"]}}))
    await env.until_allowed(model_object(framework="onnx", memory=1), allowed=True)
    env.server.put(CONFIG, config_map("broken"))

    async def error_is_counted() -> bool:
        return "config_errors_total 1.0" in await env.metrics()

    await eventually(error_is_counted)
    assert (await env.ask(model_object(framework="onnx", memory=1)))["allowed"] is True


async def test_webhook_answers_without_api_server(env: WebhookEnv) -> None:
    env.server.broken = True
    assert (await env.ask(model_object("a", memory="3Gi")))["allowed"] is False
    assert await env.status("/readyz") == 200
    assert await env.status("/healthz") == 200


async def test_webhook_is_not_alive_after_rotation_stopped(rotation_end: asyncio.Event, env: WebhookEnv) -> None:
    assert await env.status("/healthz") == 200
    rotation_end.set()

    async def is_dead() -> bool:
        return await env.status("/healthz") == 503

    await eventually(is_dead)


async def test_webhook_drains_before_it_stops(env: WebhookEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "DRAIN_SECONDS", 8)
    env.stop.set()

    async def is_draining() -> bool:
        return await env.status("/readyz") == 503

    await eventually(is_draining, limit=8)
    assert (await env.ask(model_object()))["allowed"] is True
    await env.task
    with pytest.raises(aiohttp.ClientError):
        await env.status("/healthz")


async def test_webhook_start_fails_with_port_in_use(env: WebhookEnv) -> None:
    same_port = settings().model_copy(update={"port": env.settings.port})
    async with served(api()) as client:
        with pytest.raises(StartupError, match=f"^cannot bind 0.0.0.0:{same_port.port}: address already in use$"):
            await main.serve(same_port, client, asyncio.Event(), Metrics())


async def test_webhook_start_fails_without_api_server() -> None:
    async with KubeClient(ClusterConfig(f"http://127.0.0.1:{free_port()}")) as client:
        with pytest.raises(StartupError, match="the API server cannot be reached"):
            await main.serve(settings(), client, asyncio.Event(), Metrics())


def test_webhook_settings_come_from_environment() -> None:
    system = {"POD_NAMESPACE": "system"}
    parsed = WebhookSettings.from_env(system | {"MANYSERVE_WEBHOOK_PORT": "1443", "MANYSERVE_LOG_LEVEL": "debug"})
    assert (parsed.namespace, parsed.port, parsed.log_level) == ("system", 1443, "DEBUG")
    assert parsed.names[0] == "manyserve-webhook.system.svc"
    scoped = WebhookSettings.from_env(system | {"MANYSERVE_WATCH_NAMESPACES": "a,b"})
    assert scoped.scope == Scope(("a", "b"))


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "^POD_NAMESPACE is not set: it must be the namespace that the webhook runs in$"),
        ({"MANYSERVE_WEBHOOK_PORT": "x"}, "MANYSERVE_WEBHOOK_PORT='x' is not valid: it must be a port"),
        ({"MANYSERVE_METRICS_PORT": "99999"}, "MANYSERVE_METRICS_PORT='99999' is not valid: it must be a port"),
        ({"MANYSERVE_LOG_LEVEL": "loud"}, "MANYSERVE_LOG_LEVEL='loud' is not valid: it must be one of DEBUG"),
        (
            {"MANYSERVE_NAMESPACE_SELECTOR": "team=a"},
            "^MANYSERVE_NAMESPACE_SELECTOR='team=a' is not valid: it must be",
        ),
        ({"MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER": "/no/such"}, "'/no/such' is not valid: it must be a folder"),
    ],
)
def test_webhook_settings_error_names_variable(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(StartupError, match=sentence):
        WebhookSettings.from_env({"POD_NAMESPACE": "system"} | environ if environ else {})
