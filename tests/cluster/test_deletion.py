"""Models are deleted only when the API server itself says that their host is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.deletion import MODEL_DELETED, ModelDeletion
from manyserve.cluster.departures import Departures
from manyserve.cluster.errors import Conflict, Unavailable
from manyserve.cluster.slots import Slots
from manyserve.plan.actions import Depart, ModelVersion
from tests.cluster.scripted import ScriptedServer, served
from tests.plan.test_departure import placed

KEY = Key("default", "triton-mms")
HOST = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices/triton-mms"
MODEL = "/apis/serving.kserve.io/v1alpha1/namespaces/default/trainedmodels/cifar10"
HOSTS, MODELS = "/apis/serving.kserve.io/v1beta1", "/apis/serving.kserve.io/v1alpha1"
GONE = {"group": "serving.kserve.io", "kind": "inferenceservices", "name": "triton-mms"}
ALL = ["create", "delete", "get", "list"]
ACTION = Depart("a", (ModelVersion("cifar10", "uid-cifar10", "7"),))
Answer = tuple[int, dict[str, Any]]


class Cluster(ScriptedServer):
    """Answers by path; the host is gone, and both kinds are served, unless a test says otherwise."""

    def __init__(self, **answers: Answer) -> None:
        super().__init__()
        self.by_path: dict[str, Answer] = {
            HOSTS: (200, {"resources": [{"name": "inferenceservices", "verbs": ALL}]}),
            MODELS: (200, {"resources": [{"name": "trainedmodels", "verbs": ALL}]}),
            HOST: (404, {"code": 404, "details": GONE}),
            MODEL: (200, {}),
        }

    async def handle(self, request: Any) -> Any:
        code, body = self.by_path[request.path]
        self.answers.append((code, {}, body))
        return await super().handle(request)

    @property
    def deletions(self) -> list[Any]:
        return [body["preconditions"] for verb, *_, body in self.requests if verb == "DELETE" and body]


class Case:
    """A departure whose grace period is over, and what deletes its models."""

    def __init__(self, client: Any) -> None:
        self.departures = Departures(clock=lambda: 10.0)
        self.departures.of(KEY, [placed(uid="a")])
        self.writes: list[tuple[str, str]] = []
        self.doubt: str | None = None
        self.deletion = ModelDeletion(
            client, self.departures, lambda *each: self.writes.append(each), Slots(), lambda _: self.doubt
        )

    def record(self) -> Any:
        return self.departures.of(KEY, [placed(uid="a")])["a"]


@asynccontextmanager
async def case_with(server: Cluster) -> AsyncIterator[Case]:
    async with served(server) as client:
        yield Case(client)


async def test_a_model_of_a_host_that_is_gone_is_deleted_in_the_version_that_was_seen() -> None:
    server = Cluster()
    async with case_with(server) as case:
        await case.deletion.carry_out(KEY, ACTION)
        assert server.deletions == [{"uid": "uid-cifar10", "resourceVersion": "7"}]
        assert case.writes == [MODEL_DELETED]
        assert case.record().decided


NOT_SERVED: Answer = (404, {"message": "404 page not found"})
PRESENT: Answer = (200, {"metadata": {"uid": "a"}})
ANOTHER: Answer = (200, {"metadata": {"uid": "b"}})


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (PRESENT, "the API server has it"),
        (ANOTHER, "the API server has another one of this name"),
        (NOT_SERVED, "no clear answer: 404 page not found"),
        ((404, {"details": GONE | {"name": "other"}}), "no clear answer"),
        ((404, {"details": GONE | {"group": "example.com"}}), "no clear answer"),
        ((404, {"details": {}}), "no clear answer"),
    ],
)
async def test_while_the_api_server_does_not_say_that_the_host_is_gone_nothing_is_deleted(
    answer: Answer, sentence: str
) -> None:
    server = Cluster()
    server.by_path[HOST] = answer
    async with case_with(server) as case:
        with pytest.raises(Conflict, match=sentence):
            await case.deletion.carry_out(KEY, ACTION)
        assert not case.record().decided
    assert server.deletions == []


async def test_an_error_of_the_api_server_deletes_nothing() -> None:
    server = Cluster()
    server.by_path[HOST] = (500, {"message": "etcd is away"})
    async with case_with(server) as case:
        with pytest.raises(Unavailable):
            await case.deletion.carry_out(KEY, ACTION)
        assert not case.record().kept
    assert server.deletions == []


async def test_a_decided_departure_goes_on_beside_another_host_and_not_beside_the_same() -> None:
    server = Cluster()
    decided = Depart("a", ACTION.models, decided=True)
    async with case_with(server) as case:
        server.by_path[HOST] = ANOTHER
        await case.deletion.carry_out(KEY, decided)
        assert len(server.deletions) == 1
        server.by_path[HOST] = PRESENT
        with pytest.raises(Conflict):
            await case.deletion.carry_out(KEY, decided)
    assert len(server.deletions) == 1


@pytest.mark.parametrize("path", [HOSTS, MODELS])
@pytest.mark.parametrize("action", [ACTION, Depart("a")], ids=["due", "first seen"])
@pytest.mark.parametrize("how", ["missing", "going"])
async def test_a_crd_that_is_missing_or_being_deleted_keeps_the_models(path: str, action: Depart, how: str) -> None:
    server = Cluster()
    name = "inferenceservices" if path == HOSTS else "trainedmodels"
    going = {"resources": [{"name": f"{name}/status", "verbs": ALL}, {"name": name, "verbs": ["delete", "get"]}]}
    server.by_path[path] = NOT_SERVED if how == "missing" else (200, going)
    async with case_with(server) as case:
        with pytest.raises(Conflict, match=f"the CRD of {name} is missing or being deleted"):
            await case.deletion.carry_out(KEY, action)
        assert case.record().kept
    assert server.deletions == []


async def test_a_departure_in_its_grace_period_only_asks_for_the_crds() -> None:
    server = Cluster()
    async with case_with(server) as case:
        await case.deletion.carry_out(KEY, Depart("a"))
        assert not case.record().decided
    assert {path for _, path, *_ in server.requests} == {HOSTS, MODELS}


async def test_while_something_is_in_doubt_nothing_is_deleted() -> None:
    server = Cluster()
    async with case_with(server) as case:
        case.doubt = "not listed yet: pods"
        with pytest.raises(Conflict, match="not listed yet: pods"):
            await case.deletion.carry_out(KEY, ACTION)
        assert not case.record().decided
    assert server.deletions == []


@pytest.mark.parametrize("code", [404, 409])
async def test_a_model_that_was_changed_since_is_left_to_the_next_plan(code: int) -> None:
    server = Cluster()
    server.by_path[MODEL] = (code, {"code": code})
    async with case_with(server) as case:
        await case.deletion.carry_out(KEY, ACTION)
        assert case.writes == []
