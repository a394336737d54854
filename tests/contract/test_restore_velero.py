"""Restore in Velero's form: no model is lost."""

from __future__ import annotations

import asyncio
import json

import pytest

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.plan.departure import GRACE_PERIOD
from tests.contract.restore import MODELS, RestoreEnv, check_routes, namespaces_of, take_served, targets, uids
from tests.contract.stage import HOST
from tests.support.figures import Figures, reports
from tests.support.kubectl import Kubectl, Manifest, Refused


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Figures of the models that are served after each restore, for the report."""
    return reports(request.config)["unmanaged"]


ORDER = ("configmap", "pod", "replicaset", "service", "deployment", "isvc", "ingress", "tm")
"""The kinds of objects in the order in which Velero creates them."""


def backed_up(kubectl: Kubectl) -> list[Manifest]:
    """Return the objects of a namespace in Velero's order."""
    manifests = [each for kind in ORDER for each in kubectl.list(kind)]
    return [each for each in manifests if each["metadata"]["name"] != "kube-root-ca.crt"]


async def restore(env: RestoreEnv, manifests: list[Manifest]) -> None:
    """Create the objects of a backup in the namespace, one after the other. Velero skips objects that exist."""
    for manifest in manifests:
        mapped = manifest | {"metadata": manifest["metadata"] | {"namespace": env.kubectl.namespace}}
        try:
            await env.do("create", "-f", "-", text=json.dumps(velero_restored(mapped)))
        except Refused as refused:
            if "AlreadyExists" not in str(refused):
                raise


def velero_restored(manifest: Manifest) -> Manifest:
    """Return an object of a backup as Velero creates it, without owners, status and fields of the API server."""
    metadata = manifest["metadata"]
    copied = {each: metadata[each] for each in ("name", "namespace", "labels", "annotations") if each in metadata}
    marks = {"velero.io/backup-name": "nightly", "velero.io/restore-name": "nightly-20260101000000"}
    bare = {each: value for each, value in manifest.items() if each != "status"}
    if manifest["kind"] == "Pod":
        bare["spec"] = {each: value for each, value in manifest["spec"].items() if each not in ("nodeName", "priority")}
    if manifest["kind"] == "Service":
        dropped = ("clusterIP", "clusterIPs")
        bare["spec"] = {each: value for each, value in manifest["spec"].items() if each not in dropped}
    return bare | {"metadata": copied | {"labels": copied.get("labels", {}) | marks}}


async def test_velero_restore_serves_all_models(env: RestoreEnv, figures: Figures) -> None:
    async with env.operator():
        await env.set_up()
        manifests = await asyncio.to_thread(backed_up, env.kubectl)
        assert {"Deployment", "ReplicaSet", "Pod"} <= {each["kind"] for each in manifests}
        await env.wipe()
        await restore(env, manifests)
        await env.served(*MODELS)
        await asyncio.sleep(GRACE_PERIOD + 1)
        take_served(figures, env, "Velero's form, children first")
        assert env.ready() == sorted(MODELS)
        uid = env.kubectl.get("isvc", HOST)["metadata"]["uid"]
        children = env.kubectl.list("configmap,service,deployment,ingress", "-l", names.MANAGED_BY)
        assert {owner["uid"] for each in children for owner in each["metadata"]["ownerReferences"]} == {uid}


async def test_velero_restore_into_other_namespaces_in_either_order_with_and_without_the_operator(
    env: RestoreEnv, api_server: Cluster, figures: Figures
) -> None:
    async with targets(env, api_server, 3) as others:
        running, stopped, reversed_and_stopped = others
        async with env.operator(others=namespaces_of(others)):
            await env.set_up()
            before = await asyncio.to_thread(uids, env.kubectl)
            manifests = await asyncio.to_thread(backed_up, env.kubectl)
            await restore(running, manifests[::-1])
            await running.served(*MODELS)
        await restore(stopped, manifests)
        await restore(reversed_and_stopped, manifests[::-1])
        async with env.operator(others=namespaces_of(others)):
            for each in others:
                await each.served(*MODELS)
            await asyncio.sleep(GRACE_PERIOD + 1)
            cases = ("models first", "children first, operator down", "models first, operator down")
            for each, case in zip(others, cases, strict=True):
                assert each.ready() == sorted(MODELS), case
                take_served(figures, each, f"Velero's form, another namespace, {case}")
                await asyncio.to_thread(check_routes, each.kubectl)
            assert await asyncio.to_thread(uids, env.kubectl) == before
            assert env.ready() == sorted(MODELS)


async def test_velero_restore_with_statuses_keeps_models_before_their_host(env: RestoreEnv, figures: Figures) -> None:
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
        text = json.dumps({"status": host["status"]})
        await env.do("patch", "isvc", HOST, "--subresource=status", "--type=merge", "-p", text)
        await env.served(*MODELS)
        take_served(figures, env, "statuses restored too, models first")
        assert env.kubectl.get("isvc", HOST)["status"]["operator"] == host["status"]["operator"]
