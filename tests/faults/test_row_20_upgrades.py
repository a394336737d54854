"""Row 20: the CRDs and objects of an older release, then today's: nothing is reloaded, no field is lost.

The program is today's all the time: it meets the CRDs of before it as well as its own, since nobody upgrades both
at once. It is restarted after each change of CRDs, as an upgrade does.
The way back leads to KServe's CRDs, which take anything, and to releases from this one on. CRDs of our earlier
releases prune fields: under these the operator writes nothing, so there is no way back to them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from manyserve.api import names
from manyserve.cluster import kinds
from manyserve.cluster.client import Selection
from tests.faults import releases
from tests.faults.faults import CONFIG
from tests.faults.releases import FIRST, host_and_models, install, published
from tests.faults.scene import HOST, Scene
from tests.support.eventually import eventually
from tests.support.figures import Figures
from tests.support.kserve_forms import PERMISSIVE, TODAY, drop_finalizers
from tests.support.kubectl import Refused, condition
from tests.support.programs import read
from tests.support.webhook import webhook_beside

MANAGED = [("tm", "old"), ("tm", "two"), ("tm", "three"), ("isvc", HOST)]


async def test_fault_20_up_from_kserve_and_down_again_loses_nothing(scene: Scene, figures: Figures) -> None:
    async with _older(scene, PERMISSIVE):
        await scene.apply(*host_and_models())
        await releases.as_kserve_left_it(scene)
        kept = await asyncio.to_thread(releases.unmanaged, scene.kubectl)
        await _right_after_a_restart(scene)
        before = await asyncio.to_thread(_loaded, scene)
        await install(scene, TODAY)
        seconds = await _right_after_a_restart(scene)
        figures.take("20 upgrade from KServe: seconds until all is right", seconds, "s")
        assert await asyncio.to_thread(_loaded, scene) == before
        assert await asyncio.to_thread(releases.unmanaged, scene.kubectl) == kept
        labelled = await _users_are_not_locked_out(scene)
        assert _fields(labelled) == _fields(kept)
        await install(scene, PERMISSIVE)
        seconds = await _right_after_a_restart(scene)
        figures.take("20 downgrade to KServe: seconds until all is right", seconds, "s")
        assert await asyncio.to_thread(_loaded, scene) == before
        assert await asyncio.to_thread(releases.unmanaged, scene.kubectl) == labelled
        await scene.do("annotate", "tm", "old", "example.com/down=yes")
        await install(scene, TODAY)
        await _set_uri(scene, "gs://bucket/model")
        await scene.right()
        await scene.judge()
        assert await asyncio.to_thread(releases.unmanaged, scene.kubectl) == labelled


async def test_fault_20_under_crds_of_ours_that_prune_nothing_is_written_and_today_s_make_all_right(
    scene: Scene, figures: Figures
) -> None:
    async with _older(scene, FIRST):
        await published(scene, prunes=True)
        await scene.apply(*host_and_models())
        await releases.as_our_first_left_it(scene)
        config = await asyncio.to_thread(_models_json, scene)
        before = await _versions(scene)
        scene.operator.may_start.set()
        log = scene.folder / "operator.log"
        await eventually(lambda: "prunes unknown fields" in log.read_text(), limit=30)
        await scene.quiet()
        assert await _versions(scene) == before
        assert await asyncio.to_thread(_readiness, scene) != "ok"
        await install(scene, TODAY)
        seconds = await scene.right()
        figures.take("20 upgrade from our first: seconds until all is right", seconds, "s")
        assert await asyncio.to_thread(_models_json, scene) == config
        loaded = await asyncio.to_thread(_loaded, scene)
        await _right_after_a_restart(scene)
        assert await asyncio.to_thread(_loaded, scene) == loaded
        await _set_uri(scene, "gs://bucket/model")
        await scene.right()
        await scene.judge()


@asynccontextmanager
async def _older(scene: Scene, crds: str) -> AsyncIterator[None]:
    """Have the CRDs of an older release and no operator; today's CRDs again afterwards, and no finalizers."""
    scene.operator.may_start.clear()
    scene.operator.kill()
    await eventually(lambda: scene.operator.now is None, limit=30)
    await install(scene, crds)
    try:
        yield
    finally:
        await install(scene, TODAY)
        await asyncio.to_thread(drop_finalizers, scene.kubectl)


async def _users_are_not_locked_out(scene: Scene) -> dict[str, Any]:
    """Have users write with today's CRDs and webhook, and return the unmanaged objects."""
    async with webhook_beside(scene.api_server.kubeconfig, scene.kubectl, scene.folder, policy="Fail"):
        await scene.do("annotate", "tm", "old", "example.com/up=yes")
        await scene.do("label", "isvc,tm", "--all", "team=a")
        with pytest.raises(Refused, match="storageUri"):
            await _set_uri(scene, "gs://UPPER")
    return await asyncio.to_thread(releases.unmanaged, scene.kubectl)


async def _right_after_a_restart(scene: Scene) -> float:
    """Have the operator begin anew, and return the seconds until all is right."""
    began = time.monotonic()
    starts = scene.operator.starts
    scene.operator.may_start.set()
    scene.operator.kill()
    await eventually(lambda: scene.operator.starts > starts, limit=30)
    await scene.operator.ready()
    await scene.right()
    return time.monotonic() - began


async def _set_uri(scene: Scene, uri: str) -> None:
    patch = {"spec": {"model": {"storageUri": uri}}}
    await scene.do("patch", "tm", "old", "--type=merge", "-p", json.dumps(patch))


def _loaded(scene: Scene) -> dict[str, Any]:
    """Return what must stay: what the servers are told to load, the pods' template, and since when all is Ready."""
    deployment = scene.kubectl.get("deployment", names.deployment(HOST))
    return {
        "models.json": _models_json(scene),
        "template": deployment["spec"]["template"],
        "since": {name: condition(scene.kubectl.get(kind, name)).get("lastTransitionTime") for kind, name in MANAGED},
    }


def _models_json(scene: Scene) -> Any:
    return json.loads(scene.kubectl.get("configmap", CONFIG)["data"]["models.json"])


def _fields(things: dict[str, Any]) -> dict[str, str]:
    """Return what a user's label does not change of objects, as text."""
    parts = ("spec", "status")
    return {name: json.dumps([each.get(part) for part in parts], sort_keys=True) for name, each in things.items()}


def _readiness(scene: Scene) -> str:
    assert scene.operator.now
    return read(scene.operator.now.health, "/readyz")


async def _versions(scene: Scene) -> dict[tuple[str, str], str]:
    """Return the resourceVersion of each object that an operator may write."""
    written = [kind for kind in kinds.CHILDREN if kind is not kinds.HTTP_ROUTE]
    found: dict[tuple[str, str], str] = {}
    for kind in (kinds.INFERENCE_SERVICE, kinds.TRAINED_MODEL, *written, kinds.EVENT):
        listing = await scene.client.list(kind, Selection(scene.kubectl.namespace))
        found |= {(kind.name, each["metadata"]["name"]): each["metadata"]["resourceVersion"] for each in listing.items}
    return found
