"""Row 20: an older release's CRDs and objects, then today's, then back again: nothing is reloaded, nobody locked out.

The program is today's all the time: it meets the CRDs of before it as well as its own, since nobody upgrades both
at once. It is restarted after each change of CRDs, as an upgrade does.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from manyserve.api import names
from tests.cluster.waiting import until
from tests.faults.faults import CONFIG
from tests.faults.releases import RELEASES, host_and_models, install, older
from tests.faults.scene import HOST, Scene
from tests.support.figures import Figures
from tests.support.kserve_forms import TODAY
from tests.support.kubectl import Refused, condition


@pytest.mark.parametrize("name", RELEASES)
async def test_fault_20_up_and_down_again_reloads_nothing_and_locks_nobody_out(
    scene: Scene, figures: Figures, name: str
) -> None:
    release = RELEASES[name]
    scene.operator.may_start.clear()
    scene.operator.kill()
    async with older(scene, release):
        await scene.apply(*host_and_models(release))
        await release.leave_behind(scene)
        await _right_after_a_restart(scene)
        before = await asyncio.to_thread(_loaded, scene)
        await install(scene, TODAY)
        seconds = await _right_after_a_restart(scene)
        figures.take(f"20 upgrade from {name}: seconds until all is right", seconds, "s")
        assert await asyncio.to_thread(_loaded, scene) == before
        await scene.do("annotate", "tm", "old", "example.com/up=yes")
        with pytest.raises(Refused, match="storageUri: Invalid value"):
            await _set_uri(scene, "gs://UPPER")
        await install(scene, release.crds)
        seconds = await _right_after_a_restart(scene)
        figures.take(f"20 downgrade to {name}: seconds until all is right", seconds, "s")
        assert await asyncio.to_thread(_loaded, scene) == before
        await scene.do("annotate", "tm", "old", "example.com/down=yes")
    await _set_uri(scene, "gs://bucket/model")
    await scene.right()
    await scene.judge()


async def _right_after_a_restart(scene: Scene) -> float:
    """Have the operator begin anew, and return the seconds until all is right."""
    began = time.monotonic()
    starts = scene.operator.starts
    scene.operator.may_start.set()
    scene.operator.kill()
    await until(lambda: scene.operator.starts > starts, 30)
    await scene.operator.ready()
    await scene.right()
    return time.monotonic() - began


async def _set_uri(scene: Scene, uri: str) -> None:
    patch = {"spec": {"model": {"storageUri": uri}}}
    await scene.do("patch", "tm", "old", "--type=merge", "-p", json.dumps(patch))


def _loaded(scene: Scene) -> dict[str, Any]:
    """Return what must stay: what the servers are told to load, the pods' template, and since when all is Ready."""
    deployment = scene.kubectl.get("deployment", names.deployment(HOST))
    things = [("tm", "old"), ("tm", "two"), ("tm", "three"), ("isvc", HOST)]
    return {
        "models.json": scene.kubectl.get("configmap", CONFIG)["data"],
        "template": deployment["spec"]["template"],
        "since": {name: condition(scene.kubectl.get(kind, name)).get("lastTransitionTime") for kind, name in things},
    }
