"""Thousands of models on one host: one packed ConfigMap, which the API server and the agents accept."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from functools import partial
from pathlib import Path
from typing import Any

from manyserve.agent.config import ConfigFile
from manyserve.api import names
from manyserve.api.modelconfig import KEY, PACKED_KEY, content_hash
from manyserve.api.names import Key
from manyserve.api.scope import Scope
from manyserve.cluster import kinds
from manyserve.cluster.apply import Applier
from manyserve.cluster.client import KubeClient
from manyserve.cluster.events import EventRecorder
from manyserve.cluster.informers import Informers
from manyserve.cluster.limiter import Limiter
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from manyserve.cluster.status_writer import StatusWriter
from manyserve.plan.actions import Plan
from manyserve.plan.model_config import LONGEST_TEXT, text_of
from manyserve.plan.plan import plan
from tests.contract.stage import HOST, Stage
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl, condition

Manifest = dict[str, Any]
CONFIG = names.model_config(HOST)


def random(number: int, length: int) -> str:
    """Return a fixed text that compresses badly."""
    return "".join(hashlib.sha256(f"{number} {part}".encode()).hexdigest() for part in range(length // 64 + 1))[:length]


def planned(host: Manifest, models: list[Manifest]) -> Plan:
    """Return the plan for a host on the API server and models that exist only here."""
    state = ClusterState(lambda _key: None)
    state.config = make.config()
    state.update_host(None, host)
    key = Key(host["metadata"]["namespace"], HOST)
    for model in models:
        state.update_model(None, model | {"metadata": model["metadata"] | {"namespace": key.namespace}})
    observed = observe(state, key)
    assert observed is not None
    return plan(observed, make.NOW)


async def write_config(kubectl: Kubectl, client: KubeClient, todo: Plan) -> Manifest:
    """Write only the config of the plan, and return the stored ConfigMap."""
    state = ClusterState(lambda _key: None)
    watches = Informers(client, state, Scope((kubectl.namespace,)))
    limiter = Limiter()
    statuses = StatusWriter(state, watches.informer_of, limiter, EventRecorder(client), on_write)
    applier = Applier(client, state, watches.informer_of, limiter, statuses, on_write)
    await applier.apply(Key(kubectl.namespace, HOST), Plan(configs=todo.configs))
    return kubectl.get("configmap", CONFIG)


def on_write(_kind: str, _verb: str) -> None:
    pass


def placed(todo: Plan) -> list[str]:
    return [each.name for each in todo.statuses if "placedBy" in each.patch]


def host(kubectl: Kubectl) -> Manifest:
    kubectl.apply(make.host_object(memory="64Gi") | {"metadata": {"name": HOST, "namespace": kubectl.namespace}})
    return kubectl.get("isvc", HOST)


async def test_models_json_of_20000_models_is_one_config_map_that_an_agent_reads(
    kubectl: Kubectl, client: KubeClient, tmp_path: Path
) -> None:
    uri = "gs://bucket/{0}/model-{0:05d}".format
    models = [
        make.model_object(f"model-{number:05d}", memory="1Mi", uri=uri(number), digest=f"sha256:{random(number, 64)}")
        for number in range(20_000)
    ]
    todo = planned(host(kubectl), models)
    assert len(placed(todo)) == 20_000
    stored = await write_config(kubectl, client, todo)
    assert "data" not in stored
    (tmp_path / PACKED_KEY).write_bytes(b64decode(stored["binaryData"][PACKED_KEY]))
    file = ConfigFile(tmp_path / KEY)
    assert file.refresh()
    assert file.config is not None, file.error
    assert len(file.config.entries) == 20_000
    assert file.config.hash == content_hash(text_of(stored) or "")


async def test_models_json_that_is_full_fits_the_limit_of_the_api_server(kubectl: Kubectl, client: KubeClient) -> None:
    models = [
        make.model_object(f"m-{number:04d}", memory="1Mi", uri=f"gs://bucket/{random(number, 2000)}")
        for number in range(1200)
    ]
    todo = planned(host(kubectl), models)
    assert len(placed(todo)) < 1200
    assert sum("ModelConfigFull" in str(each.patch) for each in todo.statuses) == 1200 - len(placed(todo))
    await write_config(kubectl, client, todo)


async def test_models_json_is_packed_when_long_and_text_again_when_short(stage: Stage, client: KubeClient) -> None:
    stage.apply(make.host_object(memory="64Gi"))
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    count = LONGEST_TEXT // 2000 + 20
    namespace = stage.kubectl.namespace
    models = [
        make.model_object(f"m-{number:03d}", memory="1Mi", uri=f"gs://bucket/{number:01990d}")
        for number in range(count)
    ]
    named = (each | {"metadata": {"name": each["metadata"]["name"], "namespace": namespace}} for each in models)
    await Limiter().run([partial(_create, client, each) for each in named])
    await eventually_in_thread(
        lambda: all(condition(each).get("status") == "True" for each in stage.kubectl.list("tm")), "all are ready", 120
    )
    assert PACKED_KEY in stage.kubectl.get("configmap", CONFIG)["binaryData"]
    written = len(stage.kubelet.configs)
    assert written < count / 20

    deleted = [each["metadata"]["name"] for each in models[: count // 2]]
    for name in deleted:
        await client.delete(kinds.TRAINED_MODEL, namespace, name)
    await eventually_in_thread(
        lambda: len(stage.placed()) == count - len(deleted), "the deleted models are removed", 60
    )
    stored = stage.kubectl.get("configmap", CONFIG)
    assert KEY in stored["data"]
    assert "binaryData" not in stored
    assert len(stage.kubelet.configs) - written < len(deleted) / 10, "deleting one by one is few writes"
    assert all(condition(each).get("status") == "True" for each in stage.kubectl.list("tm"))


async def _create(client: KubeClient, manifest: Manifest) -> None:
    await client.create(kinds.TRAINED_MODEL, manifest)
