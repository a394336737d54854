"""Input 28: a model is created and deleted 100 times in ten seconds under one name, and the last one wins.

At the end `models.json` and the status are of the last model. No object ever has the status of an earlier one. Every
second model does not fit, so each status shows its model.
"""

from __future__ import annotations

import asyncio

from manyserve.api import names
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, Manifest
from tests.contract.stage import HOST, Stage
from tests.faults import expectations
from tests.faults.expectations import Revision, entries
from tests.faults.history import recording
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import condition

TIMES = 100
LIVES = (0.02, 0.02, 0.02, 0.05, 0.35)
"""Seconds between creation and deletion: most are too short for any status, some for the final one."""
NAME = "again"


def wanted(number: int) -> Manifest:
    """Return the nth model of the name: each has another URI, and every second one is too large for the host."""
    return make.model_object(NAME, memory="1Gi" if number % 2 else "9Gi", uri=f"gs://bucket/{number}")


def foreign_status(revision: Revision) -> str | None:
    """Return a status that cannot be about its own object, or None."""
    memory = revision.thing["spec"]["model"]["memory"]
    available = condition(revision.thing, "MemoryResourceAvailable")
    fits = {"True": "1Gi", "False": "9Gi"}.get(available.get("status", ""), memory)
    loaded = condition(revision.thing, "Loaded").get("status") == "True" and memory == "9Gi"
    return f"{revision.version}: {memory}, and {available}" if fits != memory or loaded else None


async def test_input_28_last_recreated_model_wins_and_no_status_is_of_another(stage: Stage, client: KubeClient) -> None:
    namespace = stage.kubectl.namespace
    stage.apply(make.host_object(), make.model_object("neighbour", memory="512Mi"))
    await eventually_in_thread(lambda: stage.ready("tm", "neighbour").get("status") == "True", "the host is ready")
    async with recording(client, namespace) as recorder:
        for number in range(TIMES):
            metadata = {"name": NAME, "namespace": namespace}
            await client.create(kinds.TRAINED_MODEL, wanted(number) | {"metadata": metadata})
            await asyncio.sleep(LIVES[number % len(LIVES)])
            if number < TIMES - 1:
                await client.delete(kinds.TRAINED_MODEL, namespace, NAME)
        await eventually_in_thread(lambda: stage.ready("tm", NAME).get("status") == "True", "the last one answers", 40)
        config = stage.kubectl.get("configmap", names.model_config(HOST))
        assert {each.model_name: each.model_spec.storage_uri for each in entries(config)} == {
            NAME: f"gs://bucket/{TIMES - 1}",
            "neighbour": make.model_object()["spec"]["model"]["storageUri"],
        }
    models = [each for each in recorder.history if (each.kind, each.name) == (kinds.TRAINED_MODEL.name, NAME)]
    assert len({each.thing["metadata"]["uid"] for each in models}) == TIMES
    assert [status for each in models if (status := foreign_status(each))] == []
    assert sum(bool(condition(each.thing)) for each in models) > TIMES / 10, "the operator kept up with some of them"
    assert expectations.always(recorder.history) == []
