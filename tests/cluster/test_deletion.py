"""Deletion of models: only when the API server itself says that their host is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.departures import MODEL_DELETED, Departures, ModelDeletion
from manyserve.cluster.errors import Conflict, Unavailable
from manyserve.cluster.limiter import Limiter
from manyserve.plan.actions import Depart, ModelVersion
from tests.plan.test_departure import placed
from tests.support.fake_api import Answer, FakeApi, served

KEY = Key("default", "triton-mms")
HOST = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices/triton-mms"
MODEL = "/apis/serving.kserve.io/v1alpha1/namespaces/default/trainedmodels/cifar10"
HOSTS, MODELS = "/apis/serving.kserve.io/v1beta1", "/apis/serving.kserve.io/v1alpha1"
GONE = {"group": "serving.kserve.io", "kind": "inferenceservices", "name": "triton-mms"}
ALL = ["create", "delete", "get", "list"]
ACTION = Depart("a", (ModelVersion("cifar10", "uid-cifar10", "7"),))


def api() -> FakeApi:
    """Return an API server without the host; both kinds are served."""
    server = FakeApi()
    server.by_path = {
        HOSTS: (200, {}, {"resources": [{"name": "inferenceservices", "verbs": ALL}]}),
        MODELS: (200, {}, {"resources": [{"name": "trainedmodels", "verbs": ALL}]}),
        HOST: (404, {}, {"code": 404, "details": GONE}),
        MODEL: (200, {}, {}),
    }
    return server


def deletions(server: FakeApi) -> list[Any]:
    """Return the preconditions of each DELETE."""
    return [each.body["preconditions"] for each in server.requests if each.verb == "DELETE" and each.body]


class DeletionEnv:
    """A departure after its grace period, and the deletion of its models."""

    def __init__(self, client: Any) -> None:
        self.departures = Departures(clock=lambda: 10.0)
        self.departures.of(KEY, [placed(uid="a")])
        self.writes: list[tuple[str, str]] = []
        self.doubt: str | None = None
        self.deletion = ModelDeletion(
            client, self.departures, lambda *each: self.writes.append(each), Limiter(), lambda _: self.doubt
        )

    def record(self) -> Any:
        return self.departures.of(KEY, [placed(uid="a")])["a"]


@asynccontextmanager
async def deletion_env(server: FakeApi) -> AsyncIterator[DeletionEnv]:
    async with served(server) as client:
        yield DeletionEnv(client)


async def test_deletion_removes_a_model_of_a_departed_host_in_the_planned_version() -> None:
    server = api()
    async with deletion_env(server) as env:
        await env.deletion.apply(KEY, ACTION)
        assert deletions(server) == [{"uid": "uid-cifar10", "resourceVersion": "7"}]
        assert env.writes == [MODEL_DELETED]
        assert env.record().decided


NOT_SERVED: Answer = (404, {}, {"message": "404 page not found"})
PRESENT: Answer = (200, {}, {"metadata": {"uid": "a"}})
ANOTHER: Answer = (200, {}, {"metadata": {"uid": "b"}})


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (PRESENT, "the API server has it"),
        (ANOTHER, "the API server has another one of this name"),
        (NOT_SERVED, "no clear answer: 404 page not found"),
        ((404, {}, {"details": GONE | {"name": "other"}}), "no clear answer"),
        ((404, {}, {"details": GONE | {"group": "example.com"}}), "no clear answer"),
        ((404, {}, {"details": {}}), "no clear answer"),
    ],
)
async def test_deletion_needs_a_clear_response_that_the_host_is_gone(answer: Answer, sentence: str) -> None:
    server = api()
    server.by_path[HOST] = answer
    async with deletion_env(server) as env:
        with pytest.raises(Conflict, match=sentence):
            await env.deletion.apply(KEY, ACTION)
        assert not env.record().decided
    assert deletions(server) == []


async def test_deletion_stops_at_an_error_of_the_api_server() -> None:
    server = api()
    server.by_path[HOST] = (500, {}, {"message": "etcd is away"})
    async with deletion_env(server) as env:
        with pytest.raises(Unavailable):
            await env.deletion.apply(KEY, ACTION)
        assert not env.record().kept
    assert deletions(server) == []


async def test_deletion_continues_beside_another_host_and_not_beside_the_same() -> None:
    server = api()
    decided = Depart("a", ACTION.models, decided=True)
    async with deletion_env(server) as env:
        server.by_path[HOST] = ANOTHER
        await env.deletion.apply(KEY, decided)
        assert len(deletions(server)) == 1
        server.by_path[HOST] = PRESENT
        with pytest.raises(Conflict):
            await env.deletion.apply(KEY, decided)
    assert len(deletions(server)) == 1


@pytest.mark.parametrize("path", [HOSTS, MODELS])
@pytest.mark.parametrize("action", [ACTION, Depart("a")], ids=["due", "first seen"])
@pytest.mark.parametrize("how", ["missing", "going"])
async def test_deletion_keeps_models_without_a_crd_or_while_it_is_deleted(path: str, action: Depart, how: str) -> None:
    server = api()
    name = "inferenceservices" if path == HOSTS else "trainedmodels"
    going = {"resources": [{"name": f"{name}/status", "verbs": ALL}, {"name": name, "verbs": ["delete", "get"]}]}
    server.by_path[path] = NOT_SERVED if how == "missing" else (200, {}, going)
    async with deletion_env(server) as env:
        with pytest.raises(Conflict, match=f"the CRD of {name} is missing or being deleted"):
            await env.deletion.apply(KEY, action)
        assert env.record().kept
    assert deletions(server) == []


async def test_deletion_checks_only_the_crds_in_the_grace_period() -> None:
    server = api()
    async with deletion_env(server) as env:
        await env.deletion.apply(KEY, Depart("a"))
        assert not env.record().decided
    assert {path for _, path, *_ in server.requests} == {HOSTS, MODELS}


async def test_deletion_stops_at_a_doubt() -> None:
    server = api()
    async with deletion_env(server) as env:
        env.doubt = "not listed yet: pods"
        with pytest.raises(Conflict, match="not listed yet: pods"):
            await env.deletion.apply(KEY, ACTION)
        assert not env.record().decided
    assert deletions(server) == []


@pytest.mark.parametrize("code", [404, 409])
async def test_deletion_leaves_a_changed_model_to_the_next_plan(code: int) -> None:
    server = api()
    server.by_path[MODEL] = (code, {}, {"code": code})
    async with deletion_env(server) as env:
        await env.deletion.apply(KEY, ACTION)
        assert env.writes == []
