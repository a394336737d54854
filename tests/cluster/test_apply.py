"""The applier keeps the order of a plan. Refused children are remembered, and stop no other write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from manyserve.api.names import HOST_LABEL, MANAGED_BY, MANAGER, Key
from manyserve.api.scope import EVERYWHERE, Scope
from manyserve.cluster import errors
from manyserve.cluster.apply import Applier
from manyserve.cluster.client import KubeClient
from manyserve.cluster.events import EventRecorder
from manyserve.cluster.informers import Informers
from manyserve.cluster.limiter import Limiter
from manyserve.cluster.state import ClusterState
from manyserve.cluster.status_writer import StatusWriter
from manyserve.cluster.store import Manifest
from manyserve.plan.actions import Apply, ConfigRefresh, Delete, Event, Plan, Priority, SetOwnerReferences, WriteConfig
from manyserve.plan.observed import Child
from tests.support import make
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi as ScriptedServer
from tests.support.fake_api import served

HOST = Key("default", "h")
OWNER = {"uid": "uid-of-h"}


class FakeCluster(ScriptedServer):
    """A fake API server with objects by path, and scripted refusals."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, Manifest] = {}
        self.reply = lambda _verb, path, _body: stored(path)
        self.refuse: dict[tuple[str, str], tuple[int, str]] = {}

    async def handle(self, request: Any) -> Any:
        refusal = self.refuse.get((request.method, request.path.rpartition("/")[2]))
        if refusal:
            self.answers.append((refusal[0], {}, {"code": refusal[0], "message": refusal[1]}))
        elif request.method == "GET":
            found = self.objects.get(request.path)
            self.answers.append((200, {}, found) if found else (404, {}, {"message": "not found"}))
        return await super().handle(request)

    def written(self) -> list[str]:
        return [
            f"{verb} {path.rpartition('namespaces/default/')[2]}" for verb, path, *_ in self.requests if verb != "GET"
        ]


def stored(path: str) -> Manifest:
    """Return what the API server answers to a write at a path."""
    name = path.removesuffix("/status").rpartition("/")[2]
    return {"kind": "Any", "metadata": {"name": name, "namespace": "default", "uid": "u", "labels": {}}}


class Carried:
    """An applier with what it needs."""

    def __init__(self, client: KubeClient) -> None:
        self.state = ClusterState(lambda _key: None)
        self.informers = Informers(client, self.state, EVERYWHERE)
        self.recorder = EventRecorder(client)
        self.writes: list[tuple[str, str]] = []
        limiter, of = Limiter(), self.informers.informer_of
        self.statuses = StatusWriter(self.state, of, limiter, self.recorder, self.on_write)
        self.applier = Applier(client, self.state, of, limiter, self.statuses, self.on_write)

    def on_write(self, kind: str, verb: str) -> None:
        self.writes.append((kind, verb))

    async def apply(self, todo: Plan, *, defer_config: bool = False) -> None:
        """Apply a plan, and write its statuses."""
        try:
            await self.applier.apply(HOST, todo, defer_config=defer_config)
        finally:
            task = asyncio.create_task(self.statuses.run())
            await eventually(lambda: not self.statuses.busy)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def has(self, *manifests: Manifest) -> None:
        for each in manifests:
            each["metadata"].setdefault("resourceVersion", "5")
            self.informers.informer_of(each["kind"], each["metadata"]["namespace"]).store.apply_event(each)


@asynccontextmanager
async def carrying(server: ScriptedServer) -> AsyncIterator[Carried]:
    async with served(server) as client:
        yield Carried(client)


def thing(kind: str, name: str = "h", version: str = "9") -> Manifest:
    metadata = {"name": name, "namespace": "default", "ownerReferences": [OWNER], "resourceVersion": version}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def whole_plan() -> Plan:
    return Plan(
        applies=(Apply(thing("Deployment"), "it does not exist"),),
        deletes=(Delete(Child("Ingress", "h"), "u", "it is not wanted any more"),),
        configs=(WriteConfig(thing("ConfigMap", "modelconfig-h-0"), "7"),),
        config_refreshes=(ConfigRefresh("p", "u", "hash"),),
        owner_references=(SetOwnerReferences("cifar10", (OWNER,), ()),),
        statuses=(make.status_write(),),
        events=(Event("TrainedModel", "cifar10", "uid-cifar10", "Normal", "Ready", "it answers"),),
    )


async def test_apply_writes_children_then_config_then_statuses() -> None:
    server = FakeCluster()
    async with carrying(server) as carried:
        carried.has(make.model_object(host="h"))
        await carried.apply(whole_plan())
    written = server.written()
    assert set(written[:2]) == {"PATCH deployments/h", "DELETE ingresses/h"}
    assert written[2:] == [
        "PUT configmaps/modelconfig-h-0",
        "PATCH pods/p",
        "PATCH trainedmodels/cifar10",
        "PATCH trainedmodels/cifar10/status",
    ]
    assert len(carried.writes) == 6


async def test_apply_writes_nothing_in_a_namespace_that_left_the_scope() -> None:
    server = FakeCluster()
    async with carrying(server) as carried:
        carried.has(make.model_object(host="h"))
        carried.informers._live._scope = Scope(("other",))
        with pytest.raises(errors.OutOfScope, match="namespace default is out of scope"):
            await carried.apply(whole_plan())
    assert server.written() == []


async def test_apply_leaves_owner_references_that_changed_after_the_plan() -> None:
    server = FakeCluster()
    changed = make.model_object(host="h")
    changed["metadata"]["ownerReferences"] = [{"uid": "uid-of-another"}]
    async with carrying(server) as carried:
        carried.has(changed)
        await carried.apply(Plan(owner_references=whole_plan().owner_references))
    assert server.written() == []


async def test_apply_leaves_models_json_and_what_follows_it_when_that_is_deferred() -> None:
    server = FakeCluster()
    async with carrying(server) as carried:
        carried.has(make.model_object(host="h"), make.model_object("other", host="h"))
        progress = make.status_write("other", priority=Priority.PROGRESS)
        todo = whole_plan()
        await carried.apply(replace(todo, statuses=(*todo.statuses, progress)), defer_config=True)
    assert set(server.written()) == {
        "PATCH deployments/h",
        "DELETE ingresses/h",
        "PATCH trainedmodels/cifar10",
        "PATCH trainedmodels/cifar10/status",
    }


async def test_apply_writes_the_config_with_the_planned_resource_version() -> None:
    server = FakeCluster()
    async with carrying(server) as carried:
        await carried.apply(Plan(configs=whole_plan().configs))
    body = server.requests[-1][4]
    assert body is not None
    assert body["metadata"]["resourceVersion"] == "7"


async def test_apply_drops_the_rest_after_a_conflict_on_the_config() -> None:
    server = FakeCluster()
    server.refuse["PUT", "modelconfig-h-0"] = (409, "the object has been modified")
    async with carrying(server) as carried:
        carried.has(make.model_object(host="h"))
        with pytest.raises(errors.Conflict):
            await carried.apply(whole_plan())
    assert server.written()[-1] == "PUT configmaps/modelconfig-h-0"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [(403, "exceeded quota: tight"), (422, "spec.replicas is invalid"), (404, "namespaces default not found")],
)
async def test_apply_remembers_a_refused_child_and_writes_the_others(code: int, sentence: str) -> None:
    server = FakeCluster()
    server.refuse["PATCH", "h"] = (code, sentence)
    async with carrying(server) as carried:
        carried.has(make.model_object(host="h"))
        with pytest.raises(errors.ChildRejected, match=sentence):
            await carried.apply(whole_plan())
        assert carried.state.failures == {HOST: {Child("Deployment", "h"): sentence}}
        assert "PATCH trainedmodels/cifar10/status" in server.written()
        server.refuse.clear()
        await carried.apply(whole_plan())
        assert carried.state.failures == {}


async def test_apply_leaves_a_foreign_object_alone() -> None:
    server = FakeCluster()
    foreign = thing("Service") | {"metadata": {"name": "h", "namespace": "default"}}
    server.objects["/api/v1/namespaces/default/services/h"] = foreign
    async with carrying(server) as carried:
        with pytest.raises(errors.ChildRejected, match="Service h already exists and does not belong"):
            await carried.apply(Plan(applies=(Apply(thing("Service"), "it does not exist"),)))
    assert server.written() == []


async def test_apply_writes_a_status_only_to_the_planned_object() -> None:
    server = FakeCluster()
    async with carrying(server) as carried:
        carried.has(make.model_object(host="h"))
        status = make.status_write(uid="an-earlier-one")
        gone = make.status_write("gone")
        await carried.apply(Plan(statuses=(status, gone)))
    assert server.written() == []


async def test_apply_ignores_objects_that_are_gone() -> None:
    server = FakeCluster()
    for name in ("p", "cifar10", "status"):
        server.refuse["PATCH", name] = (404, "not found")
    server.refuse["DELETE", "h"] = (409, "the uid in the precondition does not match")
    async with carrying(server) as carried:
        carried.has(make.model_object(host="h"))
        await carried.apply(whole_plan())
        assert carried.state.failures == {}
    assert set(server.written()) == {
        "PATCH deployments/h",
        "DELETE ingresses/h",
        "PUT configmaps/modelconfig-h-0",
        "PATCH pods/p",
        "PATCH trainedmodels/cifar10",
        "PATCH trainedmodels/cifar10/status",
    }


async def test_apply_stores_its_writes_before_the_watch_has_them() -> None:
    server = FakeCluster()
    server.reply = lambda _verb, _path, _body: thing("Deployment", version="12")
    async with carrying(server) as carried:
        await carried.apply(Plan(applies=whole_plan().applies))
        deployment = carried.informers.informer_of("Deployment", "default").objects[HOST]
        assert deployment["metadata"]["resourceVersion"] == "12"


@pytest.mark.parametrize(
    ("verb", "name", "code"),
    [("DELETE", "h", 403), ("PATCH", "h", 500), ("PATCH", "p", 403), ("PATCH", "cifar10", 422)],
    ids=["a delete", "a child, by a webhook that is away", "a config refresh", "an owner"],
)
async def test_apply_writes_config_and_status_after_any_refusal(verb: str, name: str, code: int) -> None:
    server = FakeCluster()
    server.refuse[verb, name] = (code, "no")
    async with carrying(server) as carried:
        carried.has(make.model_object(host="h"))
        with pytest.raises(errors.ClusterError, match="no"):
            await carried.apply(whole_plan())
    assert {"PUT configmaps/modelconfig-h-0", "PATCH trainedmodels/cifar10/status"} <= set(server.written())


async def test_apply_enqueues_the_host_when_a_refusal_ends() -> None:
    async with carrying(FakeCluster()) as carried:
        enqueued: list[Key] = []
        carried.state._enqueue = enqueued.append
        carried.state.failures[HOST] = {Child("Deployment", "h"): "no"}
        await carried.apply(Plan())
    assert enqueued == [HOST]
    assert not carried.state.failures


def deployment(**spec: Any) -> Manifest:
    manifest = thing("Deployment")
    metadata = manifest["metadata"] | {"labels": {MANAGED_BY: MANAGER, HOST_LABEL: "h"}}
    return manifest | {"metadata": metadata, "spec": spec}


async def test_apply_without_replicas_releases_the_field_first() -> None:
    server, path = FakeCluster(), "/apis/apps/v1/namespaces/default/deployments/h"
    fields: Manifest = {"f:spec": {"f:replicas": {}, "f:paused": {}}}
    entry = {"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}
    live = deployment(replicas=3)
    server.objects[path] = live | {"metadata": live["metadata"] | {"managedFields": [entry]}}
    async with carrying(server) as carried:
        carried.has(deployment(replicas=3))
        await carried.apply(Plan(applies=(Apply(deployment(paused=False), "another owner"),)))
    release, apply = [each.body or {} for each in server.requests if each.verb == "PATCH"]
    assert release == {
        "metadata": {"resourceVersion": "9", "managedFields": [entry | {"fieldsV1": {"f:spec": {"f:paused": {}}}}]}
    }
    assert apply["spec"] == {"paused": False}


async def test_apply_with_replicas_of_another_owner_has_their_version_as_a_precondition() -> None:
    server = FakeCluster()
    async with carrying(server) as carried:
        carried.has(deployment(replicas=3))
        await carried.apply(Plan(applies=(Apply(deployment(replicas=3), "fixed", resource_version="7"),)))
    (apply,) = [each.body or {} for each in server.requests if each.verb == "PATCH"]
    assert apply["metadata"]["resourceVersion"] == "7"


async def test_apply_leaves_a_stored_autoscaler_of_a_user_alone() -> None:
    server, name = FakeCluster(), "HorizontalPodAutoscaler"
    foreign = {"kind": name, "metadata": {"name": "h", "namespace": "default", "resourceVersion": "5", "uid": "x"}}
    server.objects["/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h"] = foreign
    async with carrying(server) as carried:
        carried.has(foreign)
        with pytest.raises(errors.ChildRejected, match="h already exists and does not belong"):
            await carried.apply(Plan(applies=(Apply(thing(name), "it does not exist"),)))
    assert server.written() == []
