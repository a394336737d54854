"""Input 28: one name, created and deleted 100 times in ten seconds, each time as another model: the last one wins.

At the end `models.json` and the status are the last one's. Meanwhile no object ever carries what was said of one
before it: every second one does not fit, so that each status tells whose it is.
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
"""Seconds: most are gone before anything was said of them, some in the midst of it, some are told in full."""
NAME = "again"


def wanted(number: int) -> Manifest:
    """Return the nth model of the name: each from another place, every second one too large for the host."""
    return make.model_object(NAME, memory="1Gi" if number % 2 else "9Gi", uri=f"gs://bucket/{number}")


def of_another(revision: Revision) -> str | None:
    """Return what a status says that cannot be about its own object, None when all of it can."""
    memory = revision.thing["spec"]["model"]["memory"]
    found = condition(revision.thing, "MemoryResourceAvailable")
    fits = {"True": "1Gi", "False": "9Gi"}.get(found.get("status", ""), memory)
    loaded = condition(revision.thing, "Loaded").get("status") == "True" and memory == "9Gi"
    return f"{revision.version}: {memory}, and {found}" if fits != memory or loaded else None


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
    assert [said for each in models if (said := of_another(each))] == []
    assert sum(bool(condition(each.thing)) for each in models) > TIMES / 10, "the operator kept up with some of them"
    assert expectations.always(recorder.history) == []
