"""Namespaces that end: the first answer that says so stops all writes to the namespace."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.cluster import errors
from manyserve.cluster.client import KubeClient
from manyserve.cluster.ending import HOLD_SECONDS, EndingNamespaces
from manyserve.cluster.informer import Informer
from manyserve.cluster.kinds import CONFIG_MAP, DEPLOYMENT, TRAINED_MODEL
from tests.support.clock import FakeClock
from tests.support.eventually import eventually
from tests.support.fake_api import SILENT, Answer, FakeApi, served
from tests.support.tasks import background
from tests.support.watch_lines import event, model

SENTENCE = 'configmaps "c" is forbidden: unable to create new content in namespace n because it is being terminated'
TERMINATING: Answer = (
    403,
    {},
    {
        "message": SENTENCE,
        "reason": "Forbidden",
        "details": {"name": "c", "kind": "configmaps", "causes": [{"reason": "NamespaceTerminating"}]},
    },
)
GONE: Answer = (404, {}, {"message": 'namespaces "n" not found', "details": {"name": "n", "kind": "namespaces"}})


def config_map(namespace: str = "n") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": namespace}}


async def refused(client: KubeClient) -> None:
    with pytest.raises(errors.NamespaceEnding):
        await client.create(CONFIG_MAP, config_map())


@pytest.mark.parametrize(("answer", "sentence"), [(TERMINATING, "being terminated"), (GONE, "not found")])
async def test_first_answer_stops_all_writes_to_ending_namespace(answer: Answer, sentence: str) -> None:
    server = FakeApi()
    server.answers.append(answer)
    async with served(server) as client:
        with pytest.raises(errors.NamespaceEnding, match=sentence):
            await client.create(CONFIG_MAP, config_map())
        for write in (
            client.create(CONFIG_MAP, config_map()),
            client.replace(CONFIG_MAP, config_map()),
            client.apply(CONFIG_MAP, config_map()),
            client.merge_patch(TRAINED_MODEL, "n", "m", {"status": {}}, subresource="status"),
            client.delete(DEPLOYMENT, "n", "d"),
            client.create_event(config_map()),
        ):
            with pytest.raises(
                errors.NamespaceEnding, match=r"^not written: .* is being terminated, or does not exist"
            ):
                await write
        assert len(server.requests) == 1
        await client.apply(CONFIG_MAP, config_map("another"))
        await client.get(CONFIG_MAP, "n", "c")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (403, {"name": "c", "kind": "configmaps"}),
        (403, {"name": "c", "kind": "configmaps", "causes": ["NamespaceTerminating"]}),
        (404, {"name": "c", "kind": "configmaps"}),
        (404, {"name": "n", "group": "serving.kserve.io", "kind": "trainedmodels"}),
    ],
)
async def test_refusal_of_an_object_stops_no_other_write(code: int, details: dict[str, Any]) -> None:
    server = FakeApi()
    server.answers.append((code, {}, {"message": "no", "details": details}))
    async with served(server) as client:
        with pytest.raises(errors.ClusterError) as caught:
            await client.create(CONFIG_MAP, config_map())
        assert not isinstance(caught.value, errors.NamespaceEnding)
        await client.create(CONFIG_MAP, config_map())
    assert len(server.requests) == 2


async def test_read_of_a_missing_namespace_is_not_found_and_stops_no_write() -> None:
    server = FakeApi()
    server.answers.append(GONE)
    async with served(server) as client:
        with pytest.raises(errors.NotFound, match="not found"):
            await client.read("/api/v1/namespaces/n")
        await client.create(CONFIG_MAP, config_map())
    assert len(server.requests) == 2


async def test_write_to_ending_namespace_is_tried_again_after_hold() -> None:
    server, clock = FakeApi(), FakeClock(100.0)
    server.answers.append(TERMINATING)
    async with served(server) as client:
        client.ending = EndingNamespaces(clock)
        await refused(client)
        clock.now += HOLD_SECONDS - 1
        await refused(client)
        assert len(server.requests) == 1
        clock.now += 1
        await client.create(CONFIG_MAP, config_map())
    assert len(server.requests) == 2


async def test_new_object_in_a_namespace_lets_writes_pass_again() -> None:
    server = FakeApi()
    server.scripts.append([event("ADDED", model("m", 2)), SILENT])
    async with served(server) as client:
        namespace = model("m", 2)["metadata"]["namespace"]
        client.ending.add(namespace)
        async with background(Informer(client, TRAINED_MODEL).run()):
            await eventually(lambda: _passes(client, namespace))


def _passes(client: KubeClient, namespace: str) -> bool:
    try:
        client.ending.check(namespace)
    except errors.NamespaceEnding:
        return False
    return True


def test_ending_namespace_is_fatal_for_a_plan_and_no_refusal_of_a_child() -> None:
    error = errors.NamespaceEnding(SENTENCE, code=403)
    assert errors.is_fatal(error)
    assert not errors.is_refusal(error)
