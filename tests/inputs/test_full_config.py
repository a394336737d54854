"""Input 16: more models than one ConfigMap holds, with a real operator.

The status of a model beyond the limit gives the reason, the list is never cut, and freed space is used.
`tests/contract/test_scale.py` has the bounds of the packing.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from functools import partial

from manyserve.api import names
from manyserve.api.modelconfig import PACKED_KEY, parse
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from manyserve.cluster.limiter import Limiter
from manyserve.plan.model_config import AT_MOST, text_of
from tests.contract.stage import HOST, Stage
from tests.faults import expectations
from tests.faults.history import HistoryRecorder, recording
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import condition

MODELS = 720
LONGEST_URI = 2048
FULL = (
    f"{HOST} is full: the list of its models, models.json, holds at most {AT_MOST}; "
    "place the model on another InferenceService"
)


def noise(number: int) -> str:
    """Return letters that compress badly; deterministic."""
    parts = (hashlib.sha512(f"{number} {part}".encode()).digest() for part in range(24))
    return urlsafe_b64encode(b"".join(parts)).decode()


def waiting_models(recorder: HistoryRecorder) -> dict[str, str] | None:
    """Return the messages of models beyond the limit; None while some models are neither that nor ready."""
    objects = expectations.latest(recorder.history).items()
    ready = {name: condition(each) for (kind, name), each in objects if kind == kinds.TRAINED_MODEL.name}
    full = {name: each["message"] for name, each in ready.items() if each.get("reason") == "ModelConfigFull"}
    ready_count = sum(each.get("status") == "True" for each in ready.values())
    return full if len(full) + ready_count == len(ready) else None


def stored(stage: Stage) -> set[str]:
    """Return the models of the stored list, which must parse."""
    manifest = stage.kubectl.get("configmap", names.model_config(HOST))
    assert "data" not in manifest
    assert PACKED_KEY in manifest["binaryData"]
    return {each.model_name for each in parse(text_of(manifest) or "")}


async def test_input_16_models_beyond_a_full_list_wait_and_each_list_is_complete(
    stage: Stage, client: KubeClient
) -> None:
    namespace = stage.kubectl.namespace
    stage.apply(make.host_object(memory="64Gi"))
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    uris = (f"gs://bucket/{noise(number)}"[:LONGEST_URI] for number in range(MODELS))
    models = [make.model_object(f"m-{number:04d}", memory="1Mi", uri=uri) for number, uri in enumerate(uris)]
    wanted = ({**each, "metadata": {"name": each["metadata"]["name"], "namespace": namespace}} for each in models)
    async with recording(client, namespace) as recorder:
        await Limiter().run([partial(create, client, each) for each in wanted])
        await eventually_in_thread(
            lambda: waiting_models(recorder), "all are ready, except those beyond the limit", 120
        )
        waiting = waiting_models(recorder) or {}
        assert 0 < len(waiting) < MODELS / 10, "the ConfigMap is used well"
        assert set(waiting.values()) == {FULL}
        assert stored(stage).isdisjoint(waiting)
        assert len(stored(stage)) == MODELS - len(waiting)
        host = stage.ready("isvc", HOST)
        assert host["status"] == "True", "the placed models answer"
        assert host["message"] == (f"{len(waiting)} models are not placed: models.json holds at most {AT_MOST}")
        for name in sorted(stored(stage))[:2]:
            await client.delete(kinds.TRAINED_MODEL, namespace, name)
        await eventually_in_thread(
            lambda: len(waiting_models(recorder) or {}) == len(waiting) - 2, "two replace the deleted ones", 60
        )
    assert expectations.always(recorder.history) == []
    lists = [each.thing for each in recorder.history if each.kind == "ConfigMap" and "modelconfig" in each.name]
    assert [each.name for each in recorder.history if each.kind == "ConfigMap" and each.gone] == []
    assert all(parse(text_of(each) or "") is not None for each in lists), "each list that was ever stored is complete"


async def create(client: KubeClient, manifest: dict[str, object]) -> None:
    await client.create(kinds.TRAINED_MODEL, manifest)
