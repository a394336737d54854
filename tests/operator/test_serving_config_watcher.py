"""Serving configuration: an invalid edit keeps the last valid one, and takes no model off its host."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.api.servingconfig import NAME, ServingConfig
from manyserve.cluster.client import KubeClient
from manyserve.cluster.events import EventRecorder
from manyserve.cluster.kubeconfig import ClusterConfig
from manyserve.cluster.state import ClusterState
from manyserve.operator.serving_config_watcher import POLICIES_IGNORED, ConfigEvent, ServingConfigWatcher


class FakeRecorder(EventRecorder):
    """Event recorder that keeps the events."""

    def __init__(self, client: KubeClient) -> None:
        super().__init__(client)
        self.events: list[Any] = []

    def record(self, namespace: str, event: Any) -> None:
        self.events.append((namespace, event))


def config_map(domain: str) -> dict[str, Any]:
    data = {"ingress": json.dumps({"ingressDomain": domain})}
    return {"metadata": {"name": NAME, "namespace": "system", "uid": "u"}, "data": data}


@pytest.fixture
def enqueued() -> list[Key]:
    return []


@asynccontextmanager
async def watcher_env(
    enqueued: list[Key], *, network_policies: bool = False
) -> AsyncIterator[tuple[ServingConfigWatcher, ClusterState, FakeRecorder]]:
    async with KubeClient(ClusterConfig("http://127.0.0.1:9")) as client:
        state, recorder = ClusterState(enqueued.append), FakeRecorder(client)
        state.models[Key("default", "h")] = {}
        watcher = ServingConfigWatcher(client, state, recorder, "system", network_policies=network_policies)
        yield watcher, state, recorder


async def test_config_change_enqueues_every_host(enqueued: list[Key]) -> None:
    async with watcher_env(enqueued) as (watcher, state, _):
        watcher.changed(None, config_map("one.example"))
        assert state.config is not None
        assert state.config.ingress.ingress_domain == "one.example"
        assert enqueued == [Key("default", "h")]


async def test_config_edit_without_a_change_enqueues_nothing(enqueued: list[Key]) -> None:
    async with watcher_env(enqueued) as (watcher, _, _):
        watcher.changed(None, config_map("one.example"))
        watcher.changed(None, config_map("one.example"))
        assert len(enqueued) == 1


async def test_config_that_is_invalid_keeps_the_last_valid_one_and_records_an_event(enqueued: list[Key]) -> None:
    async with watcher_env(enqueued) as (watcher, state, recorder):
        watcher.changed(None, config_map("one.example"))
        watcher.changed(None, config_map("NOT A DOMAIN"))
        assert state.config is not None
        assert state.config.ingress.ingress_domain == "one.example"
        [(namespace, event)] = recorder.events
        assert (namespace, event.uid, event.type) == ("system", "u", "Warning")
        assert "ingress.ingressDomain" in event.message
        assert event.message.endswith("the last valid configuration stays in force")


async def test_config_problem_is_recorded_again_by_a_new_leader_until_it_is_fixed(enqueued: list[Key]) -> None:
    async with watcher_env(enqueued) as (watcher, _, recorder):
        watcher.record_problem()
        assert recorder.events == []
        watcher.changed(None, config_map("NOT A DOMAIN"))
        watcher.record_problem()
        assert len(recorder.events) == 2
        watcher.changed(None, config_map("one.example"))
        watcher.record_problem()
        assert len(recorder.events) == 2


async def test_config_that_was_never_valid_stops_reconciles(enqueued: list[Key]) -> None:
    async with watcher_env(enqueued) as (watcher, state, recorder):
        watcher.changed(None, config_map("NOT A DOMAIN"))
        assert state.config is None
        assert isinstance(recorder.events[0][1], ConfigEvent)
        assert "nothing is reconciled until it is fixed" in recorder.events[0][1].message


async def test_config_that_never_existed_means_the_defaults(enqueued: list[Key]) -> None:
    async with watcher_env(enqueued) as (watcher, state, _):
        watcher.informer.synced.set()
        await watcher.ready()
        assert state.config == ServingConfig()


async def test_config_that_is_deleted_keeps_the_last_valid_one(enqueued: list[Key]) -> None:
    async with watcher_env(enqueued) as (watcher, state, _):
        watcher.changed(None, config_map("one.example"))
        watcher.changed(config_map("one.example"), None)
        assert state.config is not None
        assert state.config.ingress.ingress_domain == "one.example"


@pytest.mark.parametrize("permitted", [True, False])
async def test_config_of_network_policies_is_in_force_only_with_the_rights_on_them(
    enqueued: list[Key], caplog: pytest.LogCaptureFixture, *, permitted: bool
) -> None:
    async with watcher_env(enqueued, network_policies=permitted) as (watcher, state, _):
        edited = config_map("one.example")
        edited["data"]["hosts"] = json.dumps({"networkPolicy": {"enabled": False}, "imagePullSecrets": ["a"]})
        watcher.changed(None, edited)
        assert state.config is not None
        assert state.config.hosts.image_pull_secrets == ("a",)
        assert (state.config.hosts.network_policy is not None) is permitted
        assert (POLICIES_IGNORED in caplog.text) is not permitted
