"""The configuration: a broken edit keeps the last good one, and never takes models off their hosts."""

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
from manyserve.operator.serving_config_watcher import ConfigEvent, ServingConfigWatcher


class Told(EventRecorder):
    """Keeps what is told."""

    def __init__(self, client: KubeClient) -> None:
        super().__init__(client)
        self.events: list[Any] = []

    def record(self, namespace: str, event: Any) -> None:
        self.events.append((namespace, event))


def config_map(domain: str) -> dict[str, Any]:
    data = {"ingress": json.dumps({"ingressDomain": domain})}
    return {"metadata": {"name": NAME, "namespace": "system", "uid": "u"}, "data": data}


@pytest.fixture
def touched() -> list[Key]:
    return []


@asynccontextmanager
async def watching(touched: list[Key]) -> AsyncIterator[tuple[ServingConfigWatcher, ClusterState, Told]]:
    async with KubeClient(ClusterConfig("http://127.0.0.1:9")) as client:
        known, told = ClusterState(touched.append), Told(client)
        known.models[Key("default", "h")] = {}
        yield ServingConfigWatcher(client, known, told, "system"), known, told


async def test_a_change_touches_every_host(touched: list[Key]) -> None:
    async with watching(touched) as (watch, known, _):
        watch.changed(None, config_map("one.example"))
        assert known.config is not None
        assert known.config.ingress.ingress_domain == "one.example"
        assert touched == [Key("default", "h")]


async def test_an_edit_that_changes_nothing_touches_nothing(touched: list[Key]) -> None:
    async with watching(touched) as (watch, _, _):
        watch.changed(None, config_map("one.example"))
        watch.changed(None, config_map("one.example"))
        assert len(touched) == 1


async def test_a_broken_edit_keeps_the_last_good_one_and_says_so_on_the_config_map(touched: list[Key]) -> None:
    async with watching(touched) as (watch, known, told):
        watch.changed(None, config_map("one.example"))
        watch.changed(None, config_map("NOT A DOMAIN"))
        assert known.config is not None
        assert known.config.ingress.ingress_domain == "one.example"
        [(namespace, event)] = told.events
        assert (namespace, event.uid, event.type) == ("system", "u", "Warning")
        assert "ingress.ingressDomain" in event.message
        assert event.message.endswith("the last valid configuration stays in force")


async def test_what_is_broken_is_told_again_by_who_works_next_and_what_is_mended_is_not(touched: list[Key]) -> None:
    async with watching(touched) as (watch, _, told):
        watch.record_problem()
        assert told.events == []
        watch.changed(None, config_map("NOT A DOMAIN"))
        watch.record_problem()
        assert len(told.events) == 2
        watch.changed(None, config_map("one.example"))
        watch.record_problem()
        assert len(told.events) == 2


async def test_broken_from_the_start_means_that_nothing_is_done(touched: list[Key]) -> None:
    async with watching(touched) as (watch, known, told):
        watch.changed(None, config_map("NOT A DOMAIN"))
        assert known.config is None
        assert isinstance(told.events[0][1], ConfigEvent)
        assert "nothing is reconciled until it is fixed" in told.events[0][1].message


async def test_absent_from_the_start_means_the_defaults(touched: list[Key]) -> None:
    async with watching(touched) as (watch, known, _):
        watch.informer.synced.set()
        await watch.ready()
        assert known.config == ServingConfig()


async def test_deleted_keeps_what_it_said_last(touched: list[Key]) -> None:
    async with watching(touched) as (watch, known, _):
        watch.changed(None, config_map("one.example"))
        watch.changed(config_map("one.example"), None)
        assert known.config is not None
        assert known.config.ingress.ingress_domain == "one.example"
