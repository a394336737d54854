"""CRD guard: the published schemas, the gate for writes, and the tasks that run while it passes."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from manyserve.cluster.client import KubeClient
from manyserve.cluster.crd_guard import INSTALL, CrdGuard, pruning_problem
from manyserve.cluster.errors import NotFound, Pruning
from manyserve.cluster.fence import Fence, Gates
from manyserve.cluster.kinds import CONFIG_MAP, INFERENCE_SERVICE, TRAINED_MODEL, Kind
from tests.support.eventually import LIMIT, eventually
from tests.support.fake_api import FakeApi, served

PRESERVES = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
PRUNES: dict[str, Any] = {"type": "object"}
BOTH = (INFERENCE_SERVICE, TRAINED_MODEL)


def document(kind: Kind, schema: dict[str, Any]) -> dict[str, Any]:
    group, _, version = kind.api_version.partition("/")
    named = {"group": group, "version": version, "kind": kind.name}
    other = {"x-kubernetes-group-version-kind": [named | {"kind": f"{kind.name}List"}]}
    own = schema | {"x-kubernetes-group-version-kind": [named]}
    return {"components": {"schemas": {"a.List": other, "a.Kind": own, "io.meta": {"type": "object"}}}}


def nested(spec: dict[str, Any], inner: dict[str, Any], name: str = "predictor") -> dict[str, Any]:
    return PRUNES | {"properties": {"spec": spec | {"properties": {name: inner}}}}


@pytest.mark.parametrize(
    ("schema", "pruned"),
    [
        (nested(PRESERVES, PRESERVES), None),
        (nested(PRUNES, PRESERVES), "spec"),
        (nested(PRESERVES, PRUNES), "spec.predictor"),
        (PRESERVES, None),
        (PRUNES, "spec"),
        (PRUNES | {"properties": {"spec": PRESERVES}}, None),
        (PRESERVES | nested(PRUNES, PRESERVES), "spec"),
        (nested(PRESERVES, PRESERVES | {"x-kubernetes-preserve-unknown-fields": False}), "spec.predictor"),
        (nested(PRESERVES, PRESERVES | {"properties": {"triton": PRUNES}}), "spec.predictor.triton"),
        (nested(PRESERVES, {"type": "array", "items": PRUNES}, "containers"), "spec.containers[]"),
        (nested(PRESERVES, PRUNES | {"additionalProperties": {"type": "string"}}, "labels"), None),
        (nested(PRESERVES, PRUNES | {"additionalProperties": PRUNES}, "maps"), "spec.maps[]"),
    ],
)
def test_pruning_problem_names_the_path_that_prunes(schema: dict[str, Any], pruned: str | None) -> None:
    problem = pruning_problem(document(INFERENCE_SERVICE, schema), INFERENCE_SERVICE)
    if pruned is None:
        assert problem is None
    else:
        assert problem == (
            f"the CRD inferenceservices.serving.kserve.io prunes unknown fields ({pruned}): nothing is written; "
            f"when it is KServe's, see docs/migrating-from-kserve.md, else install the CRDs of this release: {INSTALL}"
        )


def test_pruning_problem_covers_the_model_of_a_trained_model() -> None:
    problem = pruning_problem(document(TRAINED_MODEL, nested(PRESERVES, PRUNES, "model")), TRAINED_MODEL)
    assert problem is not None
    assert problem.startswith("the CRD trainedmodels.serving.kserve.io prunes unknown fields (spec.model)")


@pytest.mark.parametrize("openapi", [{}, {"components": {}}, document(TRAINED_MODEL, PRESERVES)])
def test_pruning_problem_raises_without_the_kind_in_the_document(openapi: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="is not in its OpenAPI document"):
        pruning_problem(openapi, INFERENCE_SERVICE)


class PublishingApi(FakeApi):
    """Publishes OpenAPI documents by their kind, as the API server does."""

    def __init__(self) -> None:
        super().__init__()
        self.schemas = dict.fromkeys(BOTH, PRESERVES)
        self.documents = 0

    def publish(self, schema: dict[str, Any], *kinds: Kind) -> None:
        self.schemas |= dict.fromkeys(kinds or BOTH, schema)

    async def handle(self, request: Any) -> Any:
        by_path = {f"/openapi/v3/apis/{kind.api_version}": kind for kind in self.schemas}
        if request.path == "/openapi/v3" and not self.answers:
            paths = {
                path.removeprefix("/openapi/v3/"): {"serverRelativeURL": f"{path}?hash={hash(str(self.schemas[kind]))}"}
                for path, kind in by_path.items()
            }
            self.answers.append((200, {}, {"paths": paths}))
        elif request.path in by_path:
            self.documents += 1
            kind = by_path[request.path]
            self.answers.append((200, {}, document(kind, self.schemas[kind])))
        return await super().handle(request)


@asynccontextmanager
async def guarding(server: PublishingApi) -> AsyncIterator[tuple[CrdGuard, KubeClient]]:
    """Run a guard that polls every 10 ms, and yield a client that it guards."""
    guard = CrdGuard()
    async with served(server) as plain, KubeClient(plain._config, gate=Gates(guard)) as client:
        task = asyncio.create_task(guard.run(plain, 0.01))
        yield guard, client
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def config_map() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}}


def count_writes(server: FakeApi) -> int:
    return sum(verb != "GET" for verb, *_ in server.requests)


async def test_guard_refuses_writes_before_the_first_check() -> None:
    server, guard = PublishingApi(), CrdGuard()
    async with served(server) as plain, KubeClient(plain._config, gate=guard) as client:
        with pytest.raises(Pruning, match="has been checked: no poll has finished yet"):
            await client.create(CONFIG_MAP, config_map())
    assert server.requests == []


@pytest.mark.parametrize("answer", [(404, {}, {"message": "no such page"}), (200, {}, {"paths": {}})])
async def test_guard_without_a_response_stays_shut_with_a_reason(
    answer: tuple[int, dict[str, str], dict[str, Any]],
) -> None:
    server = PublishingApi()
    server.answers.append(answer)
    async with guarding(server) as (guard, _):
        await eventually(lambda: server.requests)
        await eventually(lambda: "no poll has finished" not in str(guard.problem))
        assert str(guard.problem).startswith("nothing is written before the CRD inferenceservices.serving.kserve.io")
        await eventually(lambda: guard.problem is None)


async def test_guard_refuses_all_writes_while_a_crd_prunes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "manyserve.cluster.crd_guard")
    server = PublishingApi()
    async with guarding(server) as (guard, client):
        await eventually(lambda: guard.problem is None)
        await client.create(CONFIG_MAP, config_map())
        server.publish(PRUNES, TRAINED_MODEL)
        await eventually(lambda: guard.problem)
        sent = count_writes(server)
        for write in (
            client.create(CONFIG_MAP, config_map()),
            client.replace(CONFIG_MAP, config_map()),
            client.apply(CONFIG_MAP, config_map()),
            client.merge_patch(CONFIG_MAP, "b", "a", {}),
            client.delete(CONFIG_MAP, "b", "a"),
        ):
            with pytest.raises(Pruning, match=r"^not written: the CRD trainedmodels.serving.kserve.io prunes"):
                await write
        assert count_writes(server) == sent == 1
        server.publish(PRESERVES)
        await eventually(lambda: guard.problem is None)
        await client.create(CONFIG_MAP, config_map())
    assert [each.levelname for each in caplog.records] == ["ERROR", "INFO"], "once for each change"


async def test_guard_keeps_its_state_without_a_response() -> None:
    server = PublishingApi()
    async with guarding(server) as (guard, _):
        await eventually(lambda: guard.problem is None)
        for code in (500, 404):
            server.answers.append((code, {}, {"message": "it is away"}))
            await eventually(lambda: not server.answers)
            assert guard.problem is None


async def test_guard_reads_a_document_only_when_its_hash_changed() -> None:
    server = PublishingApi()
    async with guarding(server) as (guard, _):
        await eventually(lambda: guard.problem is None)
        before = len(server.requests)
        await eventually(lambda: len(server.requests) > before + 5)
        assert server.documents == len(BOTH)


def test_gates_pass_a_write_that_both_gates_pass() -> None:
    guard, fence = CrdGuard(), Fence(lambda: 0.0)
    guard._problems = dict.fromkeys(BOTH)
    fence.open_until(9.0)
    assert guard.write_timeout() == math.inf
    assert Gates(guard, fence).write_timeout() == fence.write_timeout() == 8.0
    guard._problems[TRAINED_MODEL] = "it prunes"
    with pytest.raises(Pruning, match=r"^not written: it prunes$"):
        Gates(guard, fence).write_timeout()


async def test_guard_cancels_work_while_a_crd_prunes_and_restarts_it() -> None:
    server = PublishingApi()
    begun: list[int] = []
    ended: list[int] = []

    async def work() -> None:
        begun.append(len(begun))
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(len(ended))

    server.publish(PRUNES)
    async with guarding(server) as (guard, _):
        task = asyncio.create_task(guard.while_clear(work))
        await eventually(lambda: "prunes" in str(guard.problem))
        assert (begun, ended) == ([], [])
        server.publish(PRESERVES)
        await eventually(lambda: begun == [0])
        server.publish(PRUNES)
        await eventually(lambda: ended == [0])
        server.publish(PRESERVES)
        await eventually(lambda: begun == [0, 1])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert ended == [0, 1]


async def test_guard_raises_the_error_of_its_work() -> None:
    async def work() -> None:
        raise RuntimeError("a defect")

    async with guarding(PublishingApi()) as (guard, _):
        with pytest.raises(RuntimeError, match="a defect"):
            await asyncio.wait_for(guard.while_clear(work), LIMIT)
