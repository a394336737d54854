"""Input 6: limits of a host, without a webhook.

A host without a memory limit has the documented default. A limit below the placed models removes the youngest.
"""

from __future__ import annotations

import asyncio

from manyserve.cluster.client import KubeClient
from manyserve.plan.capacity import MEMORY_ADVICE
from tests.contract.stage import HOST, Stage
from tests.faults import expectations
from tests.faults.history import recording
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import condition


def by_age(stage: Stage) -> list[str]:
    """Return the models, oldest first. Timestamps of the API server are whole seconds, so the uid breaks ties."""
    models = stage.kubectl.list("tm")
    models.sort(key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["uid"]))
    return [each["metadata"]["name"] for each in models]


def memory_of(stage: Stage, name: str) -> tuple[str | None, str]:
    available = condition(stage.kubectl.get("tm", name), "MemoryResourceAvailable")
    return available.get("reason"), available.get("message", "")


async def test_input_06_host_without_limits_has_default_resources(stage: Stage) -> None:
    stage.apply(make.host_object(triton={}), make.model_object("a"), make.model_object("b"))
    await eventually_in_thread(
        lambda: stage.kubectl.get("isvc", HOST).get("status", {}).get("memory") == "2Gi/2Gi", "the default limit is 2Gi"
    )
    server = stage.kubectl.get("deployment", f"{HOST}-predictor-default")["spec"]["template"]["spec"]["containers"][0]
    assert server["resources"] == {
        "limits": {"cpu": "1", "memory": "2Gi"},
        "requests": {"cpu": "1", "memory": "2Gi"},
    }
    stage.apply(make.model_object("c", memory="1"))
    await eventually_in_thread(lambda: memory_of(stage, "c")[0] == "MemoryResourceNotAvailable", "the third waits")
    assert memory_of(stage, "c")[1] == (
        f"1 does not fit on {HOST}: 2Gi of 2Gi is used by 2 models (largest: a 1Gi, b 1Gi), 0 free. {MEMORY_ADVICE}"
    )


async def test_input_06_lowered_limit_drops_youngest_models(stage: Stage, client: KubeClient) -> None:
    async with recording(client, stage.kubectl.namespace) as recorder:
        await lower_and_raise(stage)
    assert expectations.memory_is_never_above_the_limit(recorder.history) == []


async def lower_and_raise(stage: Stage) -> None:
    stage.apply(make.host_object(), *(make.model_object(f"m-{number}", memory="512Mi") for number in range(4)))
    await eventually_in_thread(lambda: len(stage.placed()) == 4, "all four are placed")
    before = len(stage.kubelet.configs)
    old = by_age(stage)

    stage.apply(make.host_object(memory="1Gi"))
    await eventually_in_thread(lambda: sorted(old[:2]) == stage.placed(), "the two oldest stay")
    assert all(len(placed) <= 2 for placed in stage.kubelet.configs[before:]), "never above the new limit once written"
    await eventually_in_thread(
        lambda: memory_of(stage, old[3])[0] == "MemoryResourceNotAvailable", "the youngest waits with the reason"
    )
    first, second = sorted(old[:2])
    assert memory_of(stage, old[2])[1] == (
        f"512Mi does not fit on {HOST}: 1Gi of 1Gi is used by 2 models (largest: {first} 512Mi, {second} 512Mi), "
        f"0 free. {MEMORY_ADVICE}"
    )
    await eventually_in_thread(lambda: stage.ready("tm", old[0]).get("status") == "True", "those that stay answer")

    stage.apply(make.host_object())
    await eventually_in_thread(lambda: len(stage.placed()) == 4, "with the memory back, all are placed again")


async def test_input_06_limit_below_each_model_drops_all_models(stage: Stage) -> None:
    stage.apply(make.host_object(), make.model_object("a"), make.model_object("b", memory="1Mi"))
    await eventually_in_thread(lambda: stage.placed() == ["a", "b"], "both are placed")
    stage.apply(make.host_object(memory="512Ki"))
    await eventually_in_thread(lambda: stage.placed() == [], "both leave")
    await eventually_in_thread(lambda: memory_of(stage, "b")[0] == "MemoryResourceNotAvailable", "and say why")
    assert memory_of(stage, "b")[1] == (
        f"1Mi does not fit on {HOST}: 0 of 512Ki is used by 0 models, 512Ki free. {MEMORY_ADVICE}"
    )
    host = await asyncio.to_thread(stage.kubectl.get, "isvc", HOST)
    assert host["status"]["memory"] == "0/512Ki"
    stage.apply(make.model_object("c", memory="512Ki"))
    await eventually_in_thread(lambda: stage.placed() == ["c"], "a model that fits is placed")
