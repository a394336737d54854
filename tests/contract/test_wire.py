"""Client, informer and writes against a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from manyserve.api import names
from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster import errors, kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.informer import Informer, WatchTimeouts
from manyserve.cluster.ownership import ensure_not_foreign
from tests.support import make
from tests.support.eventually import LIMIT, eventually, eventually_sync
from tests.support.kubectl import Kubectl

Manifest = dict[str, Any]


def config_map(namespace: str, name: str = "c", **fields: Any) -> Manifest:
    metadata = {"name": name, "namespace": namespace} | fields.pop("metadata", {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": fields}


def host(namespace: str, name: str = "triton-mms") -> Manifest:
    manifest = make.host_object(name)
    return manifest | {"metadata": {"name": name, "namespace": namespace}}


def owned(owner: Manifest, **metadata: Any) -> Manifest:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    return {"ownerReferences": [reference], "labels": names.labels(owner["metadata"]["name"])} | metadata


@asynccontextmanager
async def informed(
    client: KubeClient, kind: kinds.Kind, selection: ListOptions, **options: Any
) -> AsyncIterator[Informer]:
    informer = Informer(client, kind, selection=selection, **options)
    task = asyncio.create_task(informer.run())
    await asyncio.wait_for(informer.synced.wait(), LIMIT)
    yield informer
    assert not task.done()
    task.cancel()


async def test_client_update_of_another_version_is_a_conflict(kubectl: Kubectl, client: KubeClient) -> None:
    first = await client.create(kinds.CONFIG_MAP, config_map(kubectl.namespace, key="1"))
    second = await client.replace(kinds.CONFIG_MAP, first | {"data": {"key": "2"}})
    with pytest.raises(errors.Conflict, match="the object has been modified"):
        await client.replace(kinds.CONFIG_MAP, first | {"data": {"key": "3"}})
    assert second["data"] == {"key": "2"}
    with pytest.raises(errors.AlreadyExists):
        await client.create(kinds.CONFIG_MAP, config_map(kubectl.namespace))


async def test_client_status_patch_for_another_version_changes_nothing(kubectl: Kubectl, client: KubeClient) -> None:
    kubectl.apply(host(kubectl.namespace))
    old = kubectl.get("isvc", "triton-mms")["metadata"]["resourceVersion"]
    kubectl("delete", "isvc", "triton-mms")
    kubectl.apply(host(kubectl.namespace))
    patch = {"metadata": {"resourceVersion": old}, "status": {"models": "1/1"}}
    with pytest.raises(errors.Conflict):
        await client.merge_patch(kinds.INFERENCE_SERVICE, kubectl.namespace, "triton-mms", patch, subresource="status")
    assert "status" not in kubectl.get("isvc", "triton-mms")


async def test_client_apply_removes_dropped_fields_and_keeps_fields_of_others(
    kubectl: Kubectl, client: KubeClient
) -> None:
    await client.apply(kinds.CONFIG_MAP, config_map(kubectl.namespace, old="1", kept="1"))
    kubectl("patch", "configmap", "c", "--type=merge", "-p", '{"data": {"theirs": "1"}}')
    await client.apply(kinds.CONFIG_MAP, config_map(kubectl.namespace, kept="2"))
    assert kubectl.get("configmap", "c")["data"] == {"kept": "2", "theirs": "1"}


async def test_client_delete_with_another_uid_deletes_nothing(kubectl: Kubectl, client: KubeClient) -> None:
    await client.create(kinds.CONFIG_MAP, config_map(kubectl.namespace))
    with pytest.raises(errors.Conflict):
        await client.delete(kinds.CONFIG_MAP, kubectl.namespace, "c", uid="somebody-else")
    assert kubectl.exists("configmap", "c")


async def test_client_error_has_the_message_of_the_api_server(kubectl: Kubectl, client: KubeClient) -> None:
    host = make.host_object(minReplicas="many")
    host["metadata"] = {"name": "h", "namespace": kubectl.namespace}
    with pytest.raises(errors.Invalid, match=r"spec\.predictor\.minReplicas.*must be of type integer"):
        await client.create(kinds.INFERENCE_SERVICE, host)


async def test_informer_follows_changes_and_detects_a_delete_while_disconnected(
    kubectl: Kubectl, client: KubeClient
) -> None:
    for name in ("a", "b"):
        await client.create(kinds.CONFIG_MAP, config_map(kubectl.namespace, name, metadata={"labels": {"x": "y"}}))
    selection = ListOptions(kubectl.namespace, labels="x=y")
    timeouts = WatchTimeouts(silence=0.5, backoff=Backoff(base=0.01, cap=30.0))
    async with informed(client, kinds.CONFIG_MAP, selection, timeouts=timeouts) as informer:
        assert {key.name for key in informer.objects} == {"a", "b"}
        kubectl("label", "configmap", "b", "x-")
        await eventually(lambda: {key.name for key in informer.objects} == {"a"})
        kubectl("delete", "configmap", "a")
        await eventually(lambda: not informer.objects)
        await client.create(kinds.CONFIG_MAP, config_map(kubectl.namespace, "c", metadata={"labels": {"x": "y"}}))
        await eventually(lambda: {key.name for key in informer.objects} == {"c"})


async def test_informer_lists_again_when_its_version_is_too_old(kubectl: Kubectl, client: KubeClient) -> None:
    selection = ListOptions(kubectl.namespace)
    timeouts = WatchTimeouts(silence=0.3, backoff=Backoff(base=0.01, cap=30.0))
    async with informed(client, kinds.CONFIG_MAP, selection, timeouts=timeouts) as informer:
        informer._version = "1"
        await client.create(kinds.CONFIG_MAP, config_map(kubectl.namespace))
        await eventually(lambda: Key(kubectl.namespace, "c") in informer.objects)
        assert int(informer._version) > 1


async def test_store_has_an_own_write_at_once_and_ignores_its_echo(kubectl: Kubectl, client: KubeClient) -> None:
    changes: list[str] = []
    async with informed(
        client,
        kinds.CONFIG_MAP,
        ListOptions(kubectl.namespace),
        on_change=lambda old, new: changes.append((new or old or {})["metadata"]["name"]),
    ) as informer:
        stored = await client.create(kinds.CONFIG_MAP, config_map(kubectl.namespace))
        informer.record_write(stored)
        assert Key(kubectl.namespace, "c") in informer.objects
        changed = await client.replace(kinds.CONFIG_MAP, stored | {"data": {"a": "b"}})
        informer.record_write(changed)
        await client.create(kinds.CONFIG_MAP, config_map(kubectl.namespace, "last"))
        await eventually(lambda: "last" in changes)
        assert informer.objects[Key(kubectl.namespace, "c")]["data"] == {"a": "b"}


async def test_apply_refuses_a_foreign_object(kubectl: Kubectl, client: KubeClient) -> None:
    kubectl.apply(host(kubectl.namespace))
    owner = kubectl.get("isvc", "triton-mms")
    kubectl("create", "configmap", "c", "--from-literal=a=theirs")
    copies = Informer(client, kinds.CONFIG_MAP)
    with pytest.raises(errors.ForeignObject, match="c already exists and does not belong to"):
        await ensure_not_foreign(client, copies, config_map(kubectl.namespace, metadata=owned(owner)))
    await ensure_not_foreign(client, copies, config_map(kubectl.namespace, "free", metadata=owned(owner)))


@pytest.mark.parametrize(
    "lost",
    [(names.MANAGED_BY, names.HOST_LABEL), (names.MANAGED_BY,), (names.HOST_LABEL,)],
    ids=["both", "ours", "host"],
)
async def test_config_map_gets_its_labels_back_before_the_next_plan(
    kubectl: Kubectl, client: KubeClient, lost: tuple[str, ...]
) -> None:
    kubectl.apply(host(kubectl.namespace))
    owner = kubectl.get("isvc", "triton-mms")
    ours = config_map(kubectl.namespace, metadata=owned(owner))
    await client.create(kinds.CONFIG_MAP, ours)
    kubectl("label", "configmap", "c", *(f"{each}-" for each in lost))
    with pytest.raises(errors.Conflict, match="has not been read yet"):
        await ensure_not_foreign(client, Informer(client, kinds.CONFIG_MAP), ours)
    assert kubectl.get("configmap", "c")["metadata"]["labels"] == names.labels("triton-mms")


async def test_host_deletion_deletes_its_children(kubectl: Kubectl, client: KubeClient) -> None:
    kubectl.apply(host(kubectl.namespace))
    await client.apply(
        kinds.CONFIG_MAP, config_map(kubectl.namespace, metadata=owned(kubectl.get("isvc", "triton-mms")))
    )
    model = make.model_object()
    model["metadata"] = {"name": "m", "namespace": kubectl.namespace, **owned(kubectl.get("isvc", "triton-mms"))}
    kubectl.apply(model)
    kubectl("delete", "isvc", "triton-mms")
    # the garbage collector discovers new kinds only from time to time
    await asyncio.to_thread(
        eventually_sync,
        lambda: not kubectl.exists("configmap", "c") and not kubectl.exists("tm", "m"),
        "children are deleted",
    )
