"""CRDs and objects of older releases, as a cluster has them before an upgrade.

There are two: the project's first release, with CRDs that prune, and KServe. KServe's CRDs accept anything here,
and its controller wrote `models.json`, statuses and finalizers in its own way. Beside the host and its models KServe
has objects that are unmanaged.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from manyserve.cluster.crd_guard import pruning_problem
from manyserve.cluster.kinds import INFERENCE_SERVICE, TRAINED_MODEL
from tests.faults.env import HOST, FaultEnv
from tests.faults.faults import CONFIG
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kserve_forms import APPLY, FORMS, Form, crds_in, store
from tests.support.kubectl import Kubectl

Manifest = dict[str, Any]
FIRST = crds_in(Path(__file__).parents[1] / "data" / "first_crds")
LONG_AGO = "2021-06-01T00:00:00Z"
ODD_URI = "gs://bucket"
"""The first release accepted this `storageUri`; KServe accepts any."""
_STORED = (
    *("canary-traffic", "custom-container", "future-fields", "model-with-storage-uri", "modelmesh", "openshift-ai"),
    *("stored-model", "stored-model-of-absent-host", "stored-model-with-future-fields", "stored-multi-model-triton"),
    *("transformer", "values-that-hosts-may-not-have"),
)
UNMANAGED: tuple[Form, ...] = tuple(each for each in FORMS if each.name in _STORED)
"""Forms that a cluster with KServe has beside the host: with finalizers, with an annotation, and without a mark."""


async def install(env: FaultEnv, crds: str) -> None:
    """Replace the CRDs, as `kubectl apply --server-side` does."""
    await asyncio.to_thread(lambda: env.kubectl(*APPLY, "-f", "-", text=crds))


async def published(env: FaultEnv, *, prunes: bool) -> None:
    """Wait until the API server says in its OpenAPI document that the CRDs prune, or that they do not."""
    await eventually_in_thread(lambda: prunes is _prunes(env.kubectl), f"prunes: {prunes}")


def _prunes(kubectl: Kubectl) -> bool:
    pruning = []
    for kind in (INFERENCE_SERVICE, TRAINED_MODEL):
        document = json.loads(kubectl("get", "--raw", f"/openapi/v3/apis/{kind.api_version}"))
        pruning.append(pruning_problem(document, kind) is not None)
    return all(pruning)


async def as_our_first_left_it(env: FaultEnv) -> None:
    """Write `models.json` as the first release did, with two of the three models."""
    entries = [_entry(env.kubectl.get("tm", name)) for name in ("old", "two")]
    await asyncio.to_thread(env.kubectl.apply, _config(env.kubectl.get("isvc", HOST), entries))


async def as_kserve_left_it(env: FaultEnv) -> None:
    """Write `models.json` and statuses as KServe's controller does, and create unmanaged objects."""
    await as_our_first_left_it(env)
    for name in ("old", "two"):
        url = f"http://{HOST}.example.com/v2/models/{name}/infer"
        status = {"url": url, "address": {"url": url, "CACerts": ""}, "conditions": _conditions()}
        patch = json.dumps({"status": status})
        await env.do("patch", "tm", name, "--subresource=status", "--type=merge", "-p", patch)
    await asyncio.to_thread(store, env.kubectl, UNMANAGED)


def unmanaged(kubectl: Kubectl) -> dict[str, Manifest]:
    """Return the unmanaged objects."""
    unmanaged_objects = {each["metadata"]["name"]: each for kind in ("isvc", "tm") for each in kubectl.list(kind)}
    return {each.name: unmanaged_objects[each.name] for each in UNMANAGED}


def host_and_models() -> list[Manifest]:
    """Return a user's objects: a host, two models that fit, of which one is invalid today, and one that waits."""
    return [
        make.host_object(),
        make.model_object("old", uri=ODD_URI),
        make.model_object("two"),
        make.model_object("three"),
    ]


def _entry(model: Manifest) -> Manifest:
    return {"modelName": model["metadata"]["name"], "modelSpec": model["spec"]["model"]}


def _config(host: Manifest, entries: list[Manifest]) -> Manifest:
    owner = {"apiVersion": host["apiVersion"], "kind": host["kind"], "name": HOST, "uid": host["metadata"]["uid"]}
    metadata = {"name": CONFIG, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"models.json": json.dumps(entries)}}


def _conditions() -> list[Manifest]:
    kinds = ("FrameworkSupported", "InferenceServiceReady", "IsMMSPredictor", "MemoryResourceAvailable", "Ready")
    return [{"type": kind, "status": "True", "lastTransitionTime": LONG_AGO, "severity": "Info"} for kind in kinds]
