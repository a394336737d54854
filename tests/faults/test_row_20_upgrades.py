"""Row 20: CRDs and objects of an older release, then the present ones: nothing is reloaded, no field is lost.

The program is always the present one: it meets the older CRDs as well as its own, since users do not upgrade both
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
from manyserve.cluster.client import ListOptions
from tests.faults import releases
from tests.faults.env import HOST, FaultEnv
from tests.faults.faults import CONFIG
from tests.faults.releases import FIRST, host_and_models, install, published
from tests.support.eventually import eventually
from tests.support.figures import Figures
from tests.support.kserve_forms import PERMISSIVE, TODAY, drop_finalizers
from tests.support.kubectl import Refused, condition
from tests.support.programs import read
from tests.support.webhook import webhook_beside

MANAGED = [("tm", "old"), ("tm", "two"), ("tm", "three"), ("isvc", HOST)]


async def test_fault_20_upgrade_from_kserve_and_back_loses_nothing(env: FaultEnv, figures: Figures) -> None:
    async with _older(env, PERMISSIVE):
        await env.apply(*host_and_models())
        await releases.as_kserve_left_it(env)
        unmanaged = await asyncio.to_thread(releases.unmanaged, env.kubectl)
        await _right_after_a_restart(env)
        before = await asyncio.to_thread(_loaded, env)
        await install(env, TODAY)
        seconds = await _right_after_a_restart(env)
        figures.take("20 upgrade from KServe: seconds until all is right", seconds, "s")
        assert await asyncio.to_thread(_loaded, env) == before
        assert await asyncio.to_thread(releases.unmanaged, env.kubectl) == unmanaged
        labelled = await _users_are_not_locked_out(env)
        assert _fields(labelled) == _fields(unmanaged)
        await install(env, PERMISSIVE)
        seconds = await _right_after_a_restart(env)
        figures.take("20 downgrade to KServe: seconds until all is right", seconds, "s")
        assert await asyncio.to_thread(_loaded, env) == before
        assert await asyncio.to_thread(releases.unmanaged, env.kubectl) == labelled
        await env.do("annotate", "tm", "old", "example.com/down=yes")
        await install(env, TODAY)
        await _set_uri(env, "gs://bucket/model")
        await env.right()
        await env.judge()
        assert await asyncio.to_thread(releases.unmanaged, env.kubectl) == labelled


async def test_fault_20_operator_writes_nothing_under_pruning_crds_and_recovers_with_present_ones(
    env: FaultEnv, figures: Figures
) -> None:
    async with _older(env, FIRST):
        await published(env, prunes=True)
        await env.apply(*host_and_models())
        await releases.as_our_first_left_it(env)
        config = await asyncio.to_thread(_models_json, env)
        before = await _versions(env)
        env.operator.may_start.set()
        log = env.folder / "operator.log"
        await eventually(lambda: "prunes unknown fields" in log.read_text())
        await env.quiet()
        assert await _versions(env) == before
        assert await asyncio.to_thread(_readiness, env) != "ok"
        await install(env, TODAY)
        seconds = await env.right()
        figures.take("20 upgrade from our first: seconds until all is right", seconds, "s")
        assert await asyncio.to_thread(_models_json, env) == config
        loaded = await asyncio.to_thread(_loaded, env)
        await _right_after_a_restart(env)
        assert await asyncio.to_thread(_loaded, env) == loaded
        await _set_uri(env, "gs://bucket/model")
        await env.right()
        await env.judge()


@asynccontextmanager
async def _older(env: FaultEnv, crds: str) -> AsyncIterator[None]:
    """Install the CRDs of an older release and stop the operator; restore the present CRDs and drop finalizers."""
    env.operator.may_start.clear()
    env.operator.kill()
    await eventually(lambda: env.operator.now is None)
    await install(env, crds)
    try:
        yield
    finally:
        await install(env, TODAY)
        await asyncio.to_thread(drop_finalizers, env.kubectl)


async def _users_are_not_locked_out(env: FaultEnv) -> dict[str, Any]:
    """Write as users with the present CRDs and webhook, and return the unmanaged objects."""
    async with webhook_beside(env.api_server.kubeconfig, env.kubectl, env.folder, policy="Fail"):
        await env.do("annotate", "tm", "old", "example.com/up=yes")
        await env.do("label", "isvc,tm", "--all", "app.kubernetes.io/instance=a")  # which the pods do not get
        with pytest.raises(Refused, match="storageUri"):
            await _set_uri(env, "gs://UPPER")
    return await asyncio.to_thread(releases.unmanaged, env.kubectl)


async def _right_after_a_restart(env: FaultEnv) -> float:
    """Restart the operator, and return the seconds until all is right."""
    began = time.monotonic()
    starts = env.operator.starts
    env.operator.may_start.set()
    env.operator.kill()
    await eventually(lambda: env.operator.starts > starts)
    await env.operator.ready()
    await env.right()
    return time.monotonic() - began


async def _set_uri(env: FaultEnv, uri: str) -> None:
    patch = {"spec": {"model": {"storageUri": uri}}}
    await env.do("patch", "tm", "old", "--type=merge", "-p", json.dumps(patch))


def _loaded(env: FaultEnv) -> dict[str, Any]:
    """Return the state that must stay: the models in `models.json`, the pod template, and the times of Ready."""
    deployment = env.kubectl.get("deployment", names.deployment(HOST))
    return {
        "models.json": _models_json(env),
        "template": deployment["spec"]["template"],
        "since": {name: condition(env.kubectl.get(kind, name)).get("lastTransitionTime") for kind, name in MANAGED},
    }


def _models_json(env: FaultEnv) -> Any:
    return json.loads(env.kubectl.get("configmap", CONFIG)["data"]["models.json"])


def _fields(things: dict[str, Any]) -> dict[str, str]:
    """Return the parts of objects that a user's label does not change, as text."""
    parts = ("spec", "status")
    return {name: json.dumps([each.get(part) for part in parts], sort_keys=True) for name, each in things.items()}


def _readiness(env: FaultEnv) -> str:
    assert env.operator.now
    return read(env.operator.now.health, "/readyz")


async def _versions(env: FaultEnv) -> dict[tuple[str, str], str]:
    """Return the resourceVersion of each object that an operator may write."""
    written = [kind for kind in kinds.CHILDREN if kind is not kinds.HTTP_ROUTE]
    versions: dict[tuple[str, str], str] = {}
    for kind in (kinds.INFERENCE_SERVICE, kinds.TRAINED_MODEL, *written, kinds.EVENT):
        listing = await env.client.list(kind, ListOptions(env.kubectl.namespace))
        versions |= {
            (kind.name, each["metadata"]["name"]): each["metadata"]["resourceVersion"] for each in listing.items
        }
    return versions
