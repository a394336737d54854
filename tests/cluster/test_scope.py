"""The live scope follows labels; the filter withholds what is out of scope and replays what enters or leaves."""

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
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi, served

SERVED = Scope(selector=LabelSelector.model_validate({"matchLabels": {"serve": "yes"}}))


def namespace(name: str, version: int = 1, **labels: str) -> Manifest:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels}}


def thing(name: str, where: str = "a", version: int = 1) -> Manifest:
    return {"metadata": {"name": name, "namespace": where, "uid": name, "resourceVersion": str(version)}}


FORBIDDEN = "/api/v1/namespaces/b/pods"


def refusing() -> FakeApi:
    """Return an API server that refuses to list the pods of a namespace."""
    server = FakeApi()
    server.by_path[FORBIDDEN] = (403, {}, {"message": "pods is forbidden"})
    return server


@asynccontextmanager
async def running(watches: Informers) -> AsyncIterator[Informers]:
    tasks = [asyncio.create_task(each.run()) for each in watches]
    yield watches
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Passed:
    """A filter over a cache, and what it has passed on."""

    def __init__(self) -> None:
        self.inside: set[str] = set()
        self.known: dict[Key, str] = {}
        self.changes: list[tuple[bool, bool]] = []
        self.filter = Filter(self.inside.__contains__, self._stored, self._changed)
        self.copy = Store(self.filter.changed, self.filter.stored)

    def _stored(self, old: Manifest | None, new: Manifest | None) -> None:
        key = make_key(old or new or {})
        assert (key in self.known) is (old is not None)
        self.known.pop(key, None)
        if new is not None:
            self.known[key] = new["metadata"]["resourceVersion"]

    def _changed(self, old: Manifest | None, new: Manifest | None) -> None:
        self.changes.append((old is not None, new is not None))


def make_key(manifest: Manifest) -> Key:
    return Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def test_a_filter_withholds_what_is_out_of_scope_and_counts_it() -> None:
    passed = Passed()
    for each in (thing("x"), thing("y"), thing("x", version=2)):
        passed.copy.apply_event(each)
    assert (passed.known, passed.changes, len(passed.filter)) == ({}, [], 2)
    passed.copy.apply_event(thing("x", version=3), deleted=True)
    assert (passed.known, passed.changes, len(passed.filter)) == ({}, [], 1)


def test_a_namespace_that_enters_is_passed_on_in_its_newest_form_and_one_that_leaves_is_taken_back() -> None:
    passed = Passed()
    for each in (thing("x"), thing("x", version=2), thing("z", "b", 3)):
        passed.copy.apply_event(each)
    passed.inside.add("a")
    passed.filter.enter("a", passed.copy.objects)
    assert passed.known == {Key("a", "x"): "2"}
    assert passed.changes == [(False, True)]
    passed.copy.apply_event(thing("x", version=4))
    passed.inside.discard("a")
    passed.filter.leave("a", passed.copy.objects)
    assert passed.known == {}
    assert passed.changes == [(False, True), (True, True), (True, False)]
    passed.copy.apply_event(thing("x", version=5))
    passed.inside.add("a")
    passed.filter.enter("a", passed.copy.objects)
    assert passed.known == {Key("a", "x"): "5"}
    assert len(passed.filter) == 1


@pytest.mark.parametrize(
    ("scope", "inside"),
    [(EVERYWHERE, {"a", "b"}), (Scope(("a",)), {"a"}), (SERVED, {"b"})],
)
async def test_a_live_scope_contains_all_or_those_of_a_list_or_those_with_the_labels(
    scope: Scope, inside: set[str]
) -> None:
    async with served(FakeApi()) as client:
        live = LiveScope(client, scope)
        assert len(live.informers) == (scope is SERVED)
        live.update_namespace(None, namespace("a"))
        live.update_namespace(None, namespace("b", serve="yes"))
        assert {each for each in ("a", "b") if live.contains(each)} == inside


async def test_a_live_scope_calls_once_for_each_namespace_that_enters_or_leaves() -> None:
    calls: list[tuple[str, bool]] = []
    async with served(FakeApi()) as client:
        live = LiveScope(client, SERVED, lambda name, inside: calls.append((name, inside)))
        for each in (namespace("a"), namespace("a", 2, serve="yes"), namespace("a", 3, serve="yes", more="x")):
            live.update_namespace(None, each)
        live.update_namespace(namespace("a", 3, serve="yes"), namespace("a", 4, serve="no"))
        live.update_namespace(None, namespace("b", 5, serve="yes"))
        live.update_namespace(namespace("b", 5), None)
    assert calls == [("a", True), ("a", False), ("b", True), ("b", False)]


def host_and_model(where: str = "a") -> tuple[Manifest, ...]:
    metadata = {"namespace": where, "resourceVersion": "5"}
    return tuple(
        each | {"metadata": each["metadata"] | metadata}
        for each in (make.host_object("h"), make.model_object("m", host="h"))
    )


async def test_with_a_selector_hosts_and_models_enter_and_leave_the_cluster_state_together() -> None:
    touched: list[Key] = []
    known = ClusterState(touched.append)
    known.config = make.config()
    async with served(FakeApi()) as client:
        watches = Informers(client, known, SERVED)
        key = Key("a", "h")
        live = watches._live
        for kind, each in zip(("InferenceService", "TrainedModel"), host_and_model(), strict=True):
            informer = next(other for other in watches if other.kind.name == kind)
            informer.store.apply_event(each)
        assert (known.hosts, dict(known.models), touched) == ({}, {}, [])
        assert watches.count_out_of_scope("TrainedModel") == 1
        with pytest.raises(OutOfScope, match="namespace a is out of scope"):
            watches.informer_of("InferenceService", "a")
        live.update_namespace(None, namespace("a", serve="yes"))
        assert list(known.hosts) == list(known.models) == [key]
        assert watches.count_out_of_scope("TrainedModel") == 0
        assert set(touched) == {key}
        seen = observe(known, key)
        assert seen is not None
        assert [each.metadata.name for each in seen.models] == ["m"]
        touched.clear()
        live.update_namespace(namespace("a", serve="yes"), namespace("a", 2))
        assert (known.hosts, dict(known.models), set(touched)) == ({}, {}, {key})
        assert observe(known, key) is None


async def test_when_every_namespace_of_the_list_is_refused_that_is_said() -> None:
    known, server = ClusterState(lambda _key: None), refusing()
    async with served(server) as client, running(Informers(client, known, Scope(("b",)))) as watches:
        await asyncio.wait_for(watches.synced(), 10)
        assert watches.why_nothing() == "no namespace of the scope can be listed: b"
        del server.by_path[FORBIDDEN]
        await eventually(lambda: watches.why_nothing() is None)


async def test_with_a_list_each_namespace_has_informers_of_its_own_and_reaches_as_far_as_they_do() -> None:
    known = ClusterState(lambda _key: None)
    async with served(FakeApi()) as client:
        watches = Informers(client, known, Scope(("a", "b")))
        assert watches.informer_of("Pod", "a") is not watches.informer_of("Pod", "b")
        watches.informer_of("TrainedModel", "b").store.apply_event(host_and_model("b")[1])
        assert watches.count("TrainedModel") == 1
        assert (known.cache_versions("a").models, known.cache_versions("b").models) == (
            CacheVersion(),
            CacheVersion(5, 5),
        )
        with pytest.raises(OutOfScope):
            watches.informer_of("Pod", "c")


async def test_a_namespace_of_the_list_that_is_refused_holds_up_no_other() -> None:
    server = refusing()
    touched: list[Key] = []
    known = ClusterState(touched.append)
    async with served(server) as client, running(Informers(client, known, Scope(("a", "b")))) as watches:
        await asyncio.wait_for(watches.synced(), 10)
        await eventually(lambda: watches.in_scope("a"))
        assert not watches.in_scope("b")
        assert watches.why_nothing() is None
        known.update_host(None, host_and_model("b")[0])
        del server.by_path[FORBIDDEN]
        await eventually(lambda: watches.in_scope("b"), limit=10)
        assert touched == [Key("b", "h")]
