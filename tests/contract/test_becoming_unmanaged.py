"""Hosts and models that become unmanaged while served: they keep their state, and can become managed again."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from manyserve.api import conditions, names
from manyserve.cluster.client import KubeClient
from manyserve.operator.operator import Operator
from tests.contract.kubelet import kubelet
from tests.contract.stage import HOST, Stage, configure, running
from tests.support import make
from tests.support.eventually import eventually, eventually_in_thread
from tests.support.kserve_forms import MODE, MODEL_FINALIZER
from tests.support.kubectl import Kubectl, condition

Manifest = dict[str, Any]
ANNOTATION = f"{next(iter(MODE))}={next(iter(MODE.values()))}"
NO_ANNOTATION = f"{next(iter(MODE))}-"
CHILDREN = "deployment,service,configmap,ingress,hpa,pdb"


async def test_unmanaged_host_keeps_children_and_models_until_it_is_managed_again(stage: Stage) -> None:
    await _served(stage, "one", "two")
    before = await asyncio.to_thread(_children, stage.kubectl)
    await _do(stage, "annotate", "isvc", HOST, ANNOTATION)
    await eventually_in_thread(
        lambda: _not_managed(stage.kubectl, "two") == 1, "the models say that their host is not managed"
    )
    await _do(stage, "patch", "isvc", HOST, "--type=merge", "-p", _memory("4Gi"))
    version = stage.kubectl.get("isvc", HOST)["metadata"]["resourceVersion"]
    await asyncio.to_thread(stage.apply, make.model_object("two", uri="gs://bucket/new"), make.model_object("three"))
    await eventually_in_thread(lambda: _not_managed(stage.kubectl, "two") == 2, "the change of a model is seen")
    await eventually_in_thread(lambda: _not_managed(stage.kubectl, "three") == 1, "a new model is seen")
    assert await asyncio.to_thread(_children, stage.kubectl) == before
    assert stage.kubectl.get("isvc", HOST)["metadata"]["resourceVersion"] == version
    assert [each["reason"] for each in _events(stage.kubectl)] == ["NotManaged"]

    await _do(stage, "annotate", "isvc", HOST, NO_ANNOTATION)
    await eventually_in_thread(lambda: sorted(stage.placed()) == ["one", "three", "two"], "it is managed again")
    await eventually_in_thread(partial(_is_ready, stage, "three"), "its models are served")
    assert await asyncio.to_thread(_children, stage.kubectl) != before


async def test_unmanaged_event_of_a_host_is_sent_once_by_successive_operators(
    kubectl: Kubectl, client: KubeClient
) -> None:
    await asyncio.to_thread(configure, kubectl)
    async with kubelet(client, kubectl.namespace, HOST) as (_, port):
        async with running(client, kubectl.namespace, port):
            await asyncio.to_thread(kubectl.create, make.host_object())
            await eventually_in_thread(
                lambda: kubectl.exists("deployment", names.deployment(HOST)), "the host has children"
            )
            await asyncio.to_thread(kubectl, "annotate", "isvc", HOST, ANNOTATION)
            await eventually_in_thread(lambda: _events(kubectl), "the event is sent")
        for model in ("a", "b"):
            async with running(client, kubectl.namespace, port) as operator:
                await asyncio.to_thread(kubectl.create, make.model_object(model))
                await eventually_in_thread(partial(_not_managed, kubectl, model), "the operator has seen the host")
                await eventually(partial(_has_announced, operator, kubectl.get("isvc", HOST)["metadata"]["uid"]))
    events = _events(kubectl)
    assert [(each["type"], each["reason"], each["count"]) for each in events] == [("Warning", "NotManaged", 1)]
    assert "manyserve stops acting on this InferenceService" in events[0]["message"]


async def test_unmanaged_model_with_kserves_finalizer_keeps_its_entry(stage: Stage) -> None:
    await _served(stage, "one", "two")
    entry = _entry(stage, "one")
    await _do(stage, "patch", "tm", "one", "--type=merge", "-p", _finalizers([MODEL_FINALIZER]))
    await asyncio.to_thread(stage.apply, make.model_object("one", uri="gs://bucket/new"))
    version = stage.kubectl.get("tm", "one")["metadata"]["resourceVersion"]
    await _do(stage, "delete", "tm", "two")
    await asyncio.to_thread(stage.apply, make.model_object("large", memory="2Gi"))
    await eventually_in_thread(
        lambda: _memory_condition(stage.kubectl, "large") == "False", "a model waits for the memory of it"
    )
    await eventually_in_thread(lambda: stage.placed() == ["one"], "the other model is removed")
    assert _entry(stage, "one") == entry
    assert stage.kubectl.get("tm", "one")["metadata"]["resourceVersion"] == version

    await _do(stage, "patch", "tm", "one", "--type=merge", "-p", _finalizers(None))
    await eventually_in_thread(lambda: _entry(stage, "one") != entry, "the model is managed again")
    assert _entry(stage, "one")["modelSpec"]["storageUri"] == "gs://bucket/new"


async def _served(stage: Stage, *models: str) -> None:
    await asyncio.to_thread(stage.apply, make.host_object(), *(make.model_object(name) for name in models))
    for name in models:
        await eventually_in_thread(partial(_is_ready, stage, name), f"{name} is served", 60)
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")


async def _do(stage: Stage, *words: str) -> None:
    await asyncio.to_thread(stage.kubectl, *words)


def _is_ready(stage: Stage, model: str) -> bool:
    return stage.ready("tm", model).get("status") == "True"


def _has_announced(operator: Operator, uid: str) -> bool:
    """Return whether the operator has sent the event of a host, or observed it."""
    return uid in operator._state.unmanaged.announced and operator._recorder._warnings.empty()


def _children(kubectl: Kubectl) -> dict[tuple[str, str], Manifest]:
    """Return the parts of each child that the operator writes, without statuses."""
    children = kubectl.list(CHILDREN, "-l", f"{names.HOST_LABEL}={HOST}")
    assert len(children) >= 4
    parts = ("data", "spec")
    return {
        (each["kind"], each["metadata"]["name"]): {part: each.get(part) for part in parts}
        | {part: each["metadata"].get(part) for part in ("annotations", "labels", "ownerReferences", "uid")}
        for each in children
    }


def _not_managed(kubectl: Kubectl, model: str) -> int:
    """Return the generation for which a model reports an unmanaged host, or 0."""
    manifest = kubectl.get("tm", model)
    predictor = condition(manifest, conditions.IS_MMS_PREDICTOR)
    is_reported = (predictor.get("status"), predictor.get("reason")) == ("False", "NotManaged")
    return int(manifest["status"]["observedGeneration"]) if is_reported else 0


def _events(kubectl: Kubectl) -> list[Manifest]:
    """Return the NotManaged events of the host."""
    events = kubectl.list("events", "--field-selector", f"involvedObject.name={HOST},reason=NotManaged")
    return [each for each in events if each["involvedObject"]["kind"] == "InferenceService"]


def _entry(stage: Stage, model: str) -> Manifest:
    entries = json.loads(stage.kubectl.get("configmap", names.model_config(HOST))["data"]["models.json"])
    return next(each for each in entries if each["modelName"] == model)


def _memory_condition(kubectl: Kubectl, model: str) -> str | None:
    return condition(kubectl.get("tm", model), conditions.MEMORY_RESOURCE_AVAILABLE).get("status")


def _memory(memory: str) -> str:
    limits = {"cpu": "1", "memory": memory}
    return json.dumps({"spec": {"predictor": {"triton": {"resources": {"limits": limits, "requests": limits}}}}})


def _finalizers(finalizers: list[str] | None) -> str:
    return json.dumps({"metadata": {"finalizers": finalizers}})
