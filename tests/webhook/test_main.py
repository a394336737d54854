"""The webhook from start to stop, against an API server in memory."""

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
from manyserve.webhook.settings import WebhookSettings
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi, served
from tests.support.make import Manifest, host_object, model_object
from tests.support.programs import free_port
from tests.webhook.reviews import review_of, waiting
from tests.webhook.test_keeper import api, bundle_in

CONFIG = "/api/v1/namespaces/system/configmaps/inferenceservice-config"
TRITON = {"image": "x", "supportedFrameworks": ["pytorch"], "multiModelServer": True}


def config_map(predictors: Any) -> Manifest:
    metadata = {"name": "inferenceservice-config", "namespace": "system"}
    return {"kind": "ConfigMap", "metadata": metadata, "data": {"predictors": json.dumps(predictors)}}


def path_of(thing: Manifest) -> str:
    version = "v1beta1" if thing["kind"] == "InferenceService" else "v1alpha1"
    plural = f"{thing['kind'].lower()}s"
    return f"/apis/serving.kserve.io/{version}/namespaces/default/{plural}/{thing['metadata']['name']}"


@dataclass
class Whole:
    """A webhook in an event loop, its API server, and a client that trusts what the API server was told."""

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
                found: dict[str, Any] = (await answer.json())["response"]
                return found

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

        await eventually(is_ready, "the webhook is ready", limit=10)

    async def until_allowed(self, model: Manifest, *, allowed: bool) -> dict[str, Any]:
        async def answer() -> dict[str, Any] | None:
            found = await self.ask(model)
            return found if found["allowed"] is allowed else None

        answered: dict[str, Any] = await eventually(answer, f"allowed is {allowed}", limit=10)
        return answered


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
async def whole(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Whole]:
    monkeypatch.setattr(main, "DRAIN_SECONDS", 0.5)
    server, chosen, stop = api(), settings(), asyncio.Event()
    server.put(CONFIG, config_map({"triton": TRITON}))
    server.put(path_of(host_object()), host_object())
    async with served(server) as client:
        task = asyncio.create_task(main.serve(chosen, client, stop))
        found = Whole(server, chosen, stop, task)
        await found.until_ready()
        yield found
        stop.set()
        await task


@pytest.fixture
def renewal_ends(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let the certificate's task end when this is set."""
    end = asyncio.Event()

    async def keep(*_: object) -> None:
        await end.wait()
        raise ValueError

    monkeypatch.setattr(main, "run_rotation", keep)
    return end


async def test_it_answers_by_what_the_cluster_holds_and_by_its_changes(whole: Whole) -> None:
    assert (await whole.ask(model_object("a", memory="3Gi")))["allowed"] is False
    whole.server.put(path_of(host_object()), host_object(memory="4Gi"))
    await whole.until_allowed(model_object("b", memory="3Gi"), allowed=True)
    whole.server.put(path_of(model_object("b")), waiting(model_object("b", memory="3Gi")))
    await whole.until_allowed(model_object("c", memory="3Gi"), allowed=True)


async def test_an_edit_of_the_configuration_acts_at_once_and_a_broken_one_is_left_aside(whole: Whole) -> None:
    assert (await whole.ask(model_object(framework="onnx")))["allowed"] is False
    whole.server.put(CONFIG, config_map({"triton": TRITON | {"supportedFrameworks": ["onnx"]}}))
    await whole.until_allowed(model_object(framework="onnx", memory=1), allowed=True)
    whole.server.put(CONFIG, config_map("broken"))

    async def error_is_counted() -> bool:
        return "config_errors_total 1.0" in await whole.metrics()

    await eventually(error_is_counted, limit=10)
    assert (await whole.ask(model_object(framework="onnx", memory=1)))["allowed"] is True


async def test_the_api_servers_absence_changes_nothing_for_those_who_ask(whole: Whole) -> None:
    whole.server.broken = True
    assert (await whole.ask(model_object("a", memory="3Gi")))["allowed"] is False
    assert await whole.status("/readyz") == 200
    assert await whole.status("/healthz") == 200


async def test_it_is_not_alive_when_nobody_renews_its_certificate_any_more(
    renewal_ends: asyncio.Event, whole: Whole
) -> None:
    assert await whole.status("/healthz") == 200
    renewal_ends.set()

    async def is_dead() -> bool:
        return await whole.status("/healthz") == 503

    await eventually(is_dead, limit=10)


async def test_it_answers_a_while_after_it_was_told_to_stop_and_then_closes(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "DRAIN_SECONDS", 3)
    whole.stop.set()

    async def is_draining() -> bool:
        return await whole.status("/readyz") == 503

    await eventually(is_draining, limit=1)
    assert (await whole.ask(model_object()))["allowed"] is True
    await whole.task
    with pytest.raises(aiohttp.ClientError):
        await whole.status("/healthz")


async def test_a_port_in_use_ends_it_with_a_sentence(whole: Whole) -> None:
    chosen = settings().model_copy(update={"port": whole.settings.port})
    async with served(api()) as client:
        with pytest.raises(StartupError, match=f"^cannot bind 0.0.0.0:{chosen.port}: address already in use$"):
            await main.serve(chosen, client, asyncio.Event())


async def test_an_api_server_that_cannot_be_reached_ends_it_with_a_sentence() -> None:
    async with KubeClient(ClusterConfig(f"http://127.0.0.1:{free_port()}")) as client:
        with pytest.raises(StartupError, match="the API server cannot be reached"):
            await main.serve(settings(), client, asyncio.Event())


def test_settings_come_from_the_environment() -> None:
    system = {"POD_NAMESPACE": "system"}
    found = WebhookSettings.from_env(system | {"MANYSERVE_WEBHOOK_PORT": "1443", "MANYSERVE_LOG_LEVEL": "debug"})
    assert (found.namespace, found.port, found.log_level) == ("system", 1443, "DEBUG")
    assert found.names[0] == "manyserve-webhook.system.svc"
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
def test_a_wrong_setting_is_one_sentence_that_names_it(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(StartupError, match=sentence):
        WebhookSettings.from_env({"POD_NAMESPACE": "system"} | environ if environ else {})
