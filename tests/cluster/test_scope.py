"""Live scope and filter: objects out of scope are withheld, and namespaces enter and leave in one step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from manyserve.api.names import Key
from manyserve.api.scope import EVERYWHERE, LabelSelector, Scope
from manyserve.cluster.errors import OutOfScope
from manyserve.cluster.informers import Informers
from manyserve.cluster.observe import observe
from manyserve.cluster.scope import Filter, LiveScope
from manyserve.cluster.state import ClusterState
from manyserve.cluster.store import Manifest, Store
from manyserve.plan.observed import CacheVersion
from tests.support import make
from tests.support.eventually import LIMIT, eventually
from tests.support.fake_api import FakeApi, served

SERVED = Scope(selector=LabelSelector.model_validate({"matchLabels": {"serve": "yes"}}))


def namespace(name: str, version: int = 1, **labels: str) -> Manifest:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels}}


def manifest(name: str, where: str = "a", version: int = 1) -> Manifest:
    return {"metadata": {"name": name, "namespace": where, "uid": name, "resourceVersion": str(version)}}


FORBIDDEN = "/api/v1/namespaces/b/pods"


def refusing() -> FakeApi:
    """Return an API server that refuses to list the pods of a namespace."""
    server = FakeApi()
    server.by_path[FORBIDDEN] = (403, {}, {"message": "pods is forbidden"})
    return server


@asynccontextmanager
async def running(informers: Informers) -> AsyncIterator[Informers]:
    tasks = [asyncio.create_task(each.run()) for each in informers]
    yield informers
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class FilterEnv:
    """A filter over a store, and the changes that it passed on."""

    def __init__(self) -> None:
        self.inside: set[str] = set()
        self.state: dict[Key, str] = {}
        self.changes: list[tuple[bool, bool]] = []
        self.filter = Filter(self.inside.__contains__, self._stored, self._changed)
        self.store = Store(self.filter.changed, self.filter.stored)

    def _stored(self, old: Manifest | None, new: Manifest | None) -> None:
        key = make_key(old or new or {})
        assert (key in self.state) is (old is not None)
        self.state.pop(key, None)
        if new is not None:
            self.state[key] = new["metadata"]["resourceVersion"]

    def _changed(self, old: Manifest | None, new: Manifest | None) -> None:
        self.changes.append((old is not None, new is not None))


def make_key(manifest: Manifest) -> Key:
    return Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def test_filter_withholds_and_counts_objects_out_of_scope() -> None:
    env = FilterEnv()
    for change in (manifest("x"), manifest("y"), manifest("x", version=2)):
        env.store.apply_event(change)
    assert (env.state, env.changes, len(env.filter)) == ({}, [], 2)
    env.store.apply_event(manifest("x", version=3), deleted=True)
    assert (env.state, env.changes, len(env.filter)) == ({}, [], 1)


def test_filter_adds_a_namespace_that_enters_and_removes_one_that_leaves() -> None:
    env = FilterEnv()
    for change in (manifest("x"), manifest("x", version=2), manifest("z", "b", 3)):
        env.store.apply_event(change)
    env.inside.add("a")
    env.filter.enter("a", env.store.objects)
    assert env.state == {Key("a", "x"): "2"}
    assert env.changes == [(False, True)]
    env.store.apply_event(manifest("x", version=4))
    env.inside.discard("a")
    env.filter.leave("a", env.store.objects)
    assert env.state == {}
    assert env.changes == [(False, True), (True, True), (True, False)]
    env.store.apply_event(manifest("x", version=5))
    env.inside.add("a")
    env.filter.enter("a", env.store.objects)
    assert env.state == {Key("a", "x"): "5"}
    assert len(env.filter) == 1


@pytest.mark.parametrize(
    ("scope", "inside"),
    [(EVERYWHERE, {"a", "b"}), (Scope(("a",)), {"a"}), (SERVED, {"b"})],
)
async def test_live_scope_contains_all_namespaces_or_a_list_or_a_selection(scope: Scope, inside: set[str]) -> None:
    async with served(FakeApi()) as client:
        live = LiveScope(client, scope)
        assert len(live.informers) == (scope is SERVED)
        live.update_namespace(None, namespace("a"))
        live.update_namespace(None, namespace("b", serve="yes"))
        assert {each for each in ("a", "b") if live.contains(each)} == inside


async def test_live_scope_reports_each_namespace_that_enters_or_leaves_once() -> None:
    calls: list[tuple[str, bool]] = []
    async with served(FakeApi()) as client:
        live = LiveScope(client, SERVED, lambda name, inside: calls.append((name, inside)))
        for change in (namespace("a"), namespace("a", 2, serve="yes"), namespace("a", 3, serve="yes", more="x")):
            live.update_namespace(None, change)
        live.update_namespace(namespace("a", 3, serve="yes"), namespace("a", 4, serve="no"))
        live.update_namespace(None, namespace("b", 5, serve="yes"))
        live.update_namespace(namespace("b", 5), None)
    assert calls == [("a", True), ("a", False), ("b", True), ("b", False)]


async def test_live_scope_does_not_contain_a_namespace_that_is_being_terminated() -> None:
    async with served(FakeApi()) as client:
        live = LiveScope(client, SERVED)
        before, ending = namespace("a", serve="yes"), namespace("a", 2, serve="yes")
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        live.update_namespace(None, before)
        assert live.contains("a")
        live.update_namespace(before, ending)
        assert not live.contains("a")
        live.update_namespace(ending, None)
        live.update_namespace(None, namespace("a", 3, serve="yes"))
        assert live.contains("a")


def host_and_model(where: str = "a") -> tuple[Manifest, ...]:
    metadata = {"namespace": where, "resourceVersion": "5"}
    return tuple(
        created | {"metadata": created["metadata"] | metadata}
        for created in (make.host_object("h"), make.model_object("m", host="h"))
    )


async def test_informers_with_a_selector_move_hosts_and_models_together() -> None:
    enqueued: list[Key] = []
    state = ClusterState(enqueued.append)
    state.config = make.config()
    async with served(FakeApi()) as client:
        informers = Informers(client, state, SERVED)
        key = Key("a", "h")
        live = informers._live
        for kind, created in zip(("InferenceService", "TrainedModel"), host_and_model(), strict=True):
            informer = next(other for other in informers if other.kind.name == kind)
            informer.store.apply_event(created)
        assert (state.hosts, dict(state.models), enqueued) == ({}, {}, [])
        assert informers.count_out_of_scope("TrainedModel") == 1
        with pytest.raises(OutOfScope, match="namespace a is out of scope"):
            informers.informer_of("InferenceService", "a")
        live.update_namespace(None, namespace("a", serve="yes"))
        assert list(state.hosts) == list(state.models) == [key]
        assert informers.count_out_of_scope("TrainedModel") == 0
        assert set(enqueued) == {key}
        snapshot = observe(state, key)
        assert snapshot is not None
        assert [each.metadata.name for each in snapshot.models] == ["m"]
        enqueued.clear()
        live.update_namespace(namespace("a", serve="yes"), namespace("a", 2))
        assert (state.hosts, dict(state.models), set(enqueued)) == ({}, {}, {key})
        assert observe(state, key) is None


async def test_informers_report_when_every_namespace_is_refused() -> None:
    state, server = ClusterState(lambda _key: None), refusing()
    async with served(server) as client, running(Informers(client, state, Scope(("b",)))) as informers:
        await asyncio.wait_for(informers.synced(), LIMIT)
        assert informers.scope_problem() == "no namespace of the scope can be listed: b"
        del server.by_path[FORBIDDEN]
        await eventually(lambda: informers.scope_problem() is None)


async def test_informers_of_a_list_have_versions_of_their_own() -> None:
    state = ClusterState(lambda _key: None)
    async with served(FakeApi()) as client:
        informers = Informers(client, state, Scope(("a", "b")))
        assert informers.informer_of("Pod", "a") is not informers.informer_of("Pod", "b")
        informers.informer_of("TrainedModel", "b").store.apply_event(host_and_model("b")[1])
        assert informers.count("TrainedModel") == 1
        assert (state.cache_versions("a").models, state.cache_versions("b").models) == (
            CacheVersion(),
            CacheVersion(5, 5),
        )
        with pytest.raises(OutOfScope):
            informers.informer_of("Pod", "c")


async def test_informers_of_a_refused_namespace_delay_no_other() -> None:
    server = refusing()
    enqueued: list[Key] = []
    state = ClusterState(enqueued.append)
    async with served(server) as client, running(Informers(client, state, Scope(("a", "b")))) as informers:
        await asyncio.wait_for(informers.synced(), LIMIT)
        await eventually(lambda: informers.in_scope("a"))
        assert not informers.in_scope("b")
        assert informers.scope_problem() is None
        state.update_host(None, host_and_model("b")[0])
        del server.by_path[FORBIDDEN]
        await eventually(lambda: informers.in_scope("b"))
        assert enqueued == [Key("b", "h")]
