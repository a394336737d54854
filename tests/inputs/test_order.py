"""Input 19: 500 objects become Ready, although the models are created long before their host."""

from __future__ import annotations

import asyncio
from pathlib import Path

import yaml

from manyserve.cluster.client import KubeClient
from tests.contract.stage import HOST, Stage
from tests.faults import expectations
from tests.faults.history import HistoryRecorder, recording
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import condition

OBJECTS = 500


def ready_count(recorder: HistoryRecorder) -> int:
    objects = expectations.latest(recorder.history).items()
    ours = (each for (kind, _), each in objects if kind in ("TrainedModel", "InferenceService"))
    return sum(condition(each).get("status") == "True" for each in ours)


def placed_count(recorder: HistoryRecorder) -> int:
    objects = expectations.latest(recorder.history).items()
    models = (each for (kind, _), each in objects if kind == "TrainedModel")
    return sum("placedBy" in each.get("status", {}) for each in models)


async def test_input_19_objects_applied_in_wrong_order_become_ready(
    stage: Stage, client: KubeClient, tmp_path: Path
) -> None:
    models = [make.model_object(f"m-{number:03d}", memory="1Mi") for number in range(OBJECTS - 1)]
    files = {"1-models.yaml": reversed(models), "2-host.yaml": [make.host_object(memory="64Gi")]}
    for name, objects in files.items():
        bare = ({**each, "metadata": {"name": each["metadata"]["name"]}} for each in objects)
        (tmp_path / name).write_text(yaml.safe_dump_all(bare))
    async with recording(client, stage.kubectl.namespace) as recorder:
        applied = asyncio.create_task(asyncio.to_thread(stage.kubectl, "apply", "--server-side", "-f", str(tmp_path)))
        first = models[-1]["metadata"]["name"]
        await eventually_in_thread(lambda: stage.kubectl.exists("tm", first), "the models come first")
        await eventually_in_thread(
            lambda: stage.ready("tm", first).get("reason") == "InferenceServiceNotFound", "they wait"
        )
        assert not stage.kubectl.exists("isvc", HOST)
        await applied
        await eventually_in_thread(lambda: ready_count(recorder) == OBJECTS, "all 500 are ready", 60)
        await eventually_in_thread(lambda: placed_count(recorder) == OBJECTS - 1, "all models name the host", 60)
    assert expectations.always(recorder.history) == []
    assert len(stage.kubelet.configs) < OBJECTS / 20, "models.json is written a few times"
