"""Row 19: a folder of 500 objects whose models come long before their host: in the end all are Ready."""

from __future__ import annotations

import asyncio
from pathlib import Path

import yaml

from tests.contract.stage import HOST, Stage, soon
from tests.support import make
from tests.support.kubectl import condition

OBJECTS = 500


def all_ready(stage: Stage) -> bool:
    found = stage.kubectl.list("tm,isvc")
    return len(found) == OBJECTS and all(condition(each).get("status") == "True" for each in found)


async def test_input_19_a_folder_of_500_objects_in_the_wrong_order_ends_ready(stage: Stage, tmp_path: Path) -> None:
    models = [make.model_object(f"m-{number:03d}", memory="1Mi") for number in range(OBJECTS - 1)]
    files = {"1-models.yaml": reversed(models), "2-host.yaml": [make.host_object(memory="64Gi")]}
    for name, objects in files.items():
        bare = ({**each, "metadata": {"name": each["metadata"]["name"]}} for each in objects)
        (tmp_path / name).write_text(yaml.safe_dump_all(bare))
    applied = asyncio.create_task(asyncio.to_thread(stage.kubectl, "apply", "--server-side", "-f", str(tmp_path)))
    await soon(lambda: len(stage.kubectl.list("tm")) > 1, "the models come first")
    assert not stage.kubectl.exists("isvc", HOST)
    first = models[-1]["metadata"]["name"]
    await soon(lambda: stage.ready("tm", first).get("reason") == "InferenceServiceNotFound", "they wait")
    await applied
    await soon(lambda: all_ready(stage), "all 500 are ready", 60)
    assert len(stage.kubelet.configs) < OBJECTS / 20, "models.json is written a few times"
