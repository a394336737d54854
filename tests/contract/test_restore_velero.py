"""Restore in Velero's form: no model is lost."""

from __future__ import annotations

import asyncio
import json

import pytest

from manyserve.api import names
from manyserve.plan.departure import GRACE_PERIOD
from tests.contract.restore import MODELS, RestoreEnv, take_served
from tests.contract.stage import HOST
from tests.support.figures import Figures, reports
from tests.support.kubectl import Manifest


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Figures of the models that are served after each restore, for the report."""
    return reports(request.config)["unmanaged"]


def velero_restored(manifest: Manifest) -> Manifest:
    """Return an object of a backup as Velero creates it, without owners, status and fields of the API server."""
    metadata = manifest["metadata"]
    copied = {each: metadata[each] for each in ("name", "namespace", "labels", "annotations") if each in metadata}
    marks = {"velero.io/backup-name": "nightly", "velero.io/restore-name": "nightly-20260101000000"}
    bare = {each: value for each, value in manifest.items() if each != "status"}
    if manifest["kind"] == "Service":
        dropped = ("clusterIP", "clusterIPs")
        bare["spec"] = {each: value for each, value in manifest["spec"].items() if each not in dropped}
    return bare | {"metadata": copied | {"labels": copied.get("labels", {}) | marks}}


async def test_velero_restore_serves_all_models(env: RestoreEnv, figures: Figures) -> None:
    async with env.operator():
        await env.set_up()
        manifests: list[Manifest] = []
        for kind in ("configmap", "service", "deployment", "ingress", "isvc", "tm"):
            manifests += await asyncio.to_thread(env.kubectl.list, kind)
        ours = [each for each in manifests if each["metadata"]["name"] != "kube-root-ca.crt"]
        assert any(each["kind"] == "Deployment" for each in ours)
        await env.wipe()
        for manifest in map(velero_restored, ours):
            await env.do("create", "-f", "-", text=json.dumps(manifest))
            await asyncio.sleep(0.3)
        await env.served(*MODELS)
        await asyncio.sleep(GRACE_PERIOD + 1)
        take_served(figures, env, "Velero's form, children first")
        assert env.ready() == sorted(MODELS)
        uid = env.kubectl.get("isvc", HOST)["metadata"]["uid"]
        children = env.kubectl.list("configmap,service,deployment,ingress", "-l", names.MANAGED_BY)
        assert {owner["uid"] for each in children for owner in each["metadata"]["ownerReferences"]} == {uid}


async def test_velero_restore_keeps_models_with_a_status_before_their_host(env: RestoreEnv, figures: Figures) -> None:
    async with env.operator():
        await env.set_up()
        host, models = env.kubectl.get("isvc", HOST), env.kubectl.list("tm")
        await env.wipe()
        for model in models:
            name, status = model["metadata"]["name"], {"status": model["status"]}
            await env.do("create", "-f", "-", text=json.dumps(velero_restored(model)))
            await env.do("patch", "tm", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
        await asyncio.sleep(GRACE_PERIOD + 2)
        assert env.models() == sorted(MODELS)
        await env.do("create", "-f", "-", text=json.dumps(velero_restored(host)))
        await env.served(*MODELS)
        take_served(figures, env, "statuses restored too, models first")
