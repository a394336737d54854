"""The CRDs and the objects of older releases: what a cluster has before an upgrade, and again after a downgrade.

Two of them: our own first one, with CRDs as they were; and KServe, from which users come: its CRDs know types and
hardly a rule, and its controller wrote `models.json` and statuses in its own way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.faults.faults import CONFIG
from tests.faults.scene import HOST, Scene
from tests.support import make
from tests.support.control_plane import CRDS
from tests.support.foreign_crds import permissive_crds

Manifest = dict[str, Any]
FIRST = Path(__file__).parents[1] / "data" / "first_crds"
LONG_AGO = "2021-06-01T00:00:00Z"


@dataclass(frozen=True)
class Release:
    """One that was there before."""

    crds: str
    """YAML."""
    odd_uri: str
    """It took this `storageUri`, and today's schema refuses it."""
    leave_behind: Callable[[Scene], Awaitable[None]]
    """Have what its controller wrote, beside the objects of the user."""


async def nothing(_: Scene) -> None:
    """Leave nothing: the operator finds the objects only."""


async def as_kserve_left_it(scene: Scene) -> None:
    """Have `models.json` as KServe's controller writes it, and its statuses: no generation, and a severity."""
    host = scene.kubectl.get("isvc", HOST)
    models = [scene.kubectl.get("tm", name) for name in ("old", "two")]
    entries = [{"modelName": each["metadata"]["name"], "modelSpec": each["spec"]["model"]} for each in models]
    owner = {"apiVersion": host["apiVersion"], "kind": host["kind"], "name": HOST, "uid": host["metadata"]["uid"]}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG, "ownerReferences": [owner]}}
    await asyncio.to_thread(scene.kubectl.apply, config | {"data": {"models.json": json.dumps(entries)}})
    for name in ("old", "two"):
        url = f"http://{HOST}.example.com/v2/models/{name}/infer"
        status = {"url": url, "address": {"url": url, "CACerts": ""}, "conditions": _conditions()}
        patch = json.dumps({"status": status})
        await scene.do("patch", "tm", name, "--subresource=status", "--type=merge", "-p", patch)


def _conditions() -> list[Manifest]:
    kinds = ("FrameworkSupported", "InferenceServiceReady", "IsMMSPredictor", "MemoryResourceAvailable", "Ready")
    return [{"type": kind, "status": "True", "lastTransitionTime": LONG_AGO, "severity": "Info"} for kind in kinds]


def _text(folder: Path) -> str:
    return "\n---\n".join(each.read_text() for each in sorted(folder.glob("*.yaml")))


RELEASES = {
    "our first": Release(_text(FIRST), "gs://bucket", nothing),
    "KServe": Release(
        yaml.safe_dump_all(permissive_crds()),
        "gs://bucket/a model",
        as_kserve_left_it,
    ),
}
TODAY = _text(CRDS)


async def install(scene: Scene, crds: str) -> None:
    """Replace the CRDs, as `kubectl apply --server-side` does."""
    words = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    await asyncio.to_thread(lambda: scene.kubectl(*words, text=crds))


@asynccontextmanager
async def older(scene: Scene, release: Release) -> AsyncIterator[None]:
    """Have the CRDs of an older release, and today's again afterwards."""
    await install(scene, release.crds)
    try:
        yield
    finally:
        await install(scene, TODAY)


def host_and_models(release: Release) -> list[Manifest]:
    """Return what its user has: a host, two models that fit, of which one is odd today, and one that waits."""
    return [
        make.host_object(),
        make.model_object("old", uri=release.odd_uri),
        make.model_object("two"),
        make.model_object("three"),
    ]
