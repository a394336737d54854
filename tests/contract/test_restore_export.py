"""Restore of `kubectl get -o yaml`, or from Git: no model is lost."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml

from localcluster.paths import Cluster
from manyserve.plan.departure import GRACE_PERIOD
from tests.contract.restore import GROUP, MODELS, RestoreEnv, take_served
from tests.contract.stage import HOST, configure
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures, reports
from tests.support.kubectl import Kubectl, Refused
from tests.support.webhook import webhook_beside


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Figures of the models that are served after each restore, for the report."""
    return reports(request.config)["unmanaged"]


@pytest.mark.parametrize("order", ["host first", "models first", "operator down", "models first, operator down"])
async def test_export_restore_serves_all_models_after_the_namespace_was_deleted(
    env: RestoreEnv, figures: Figures, tenants: Figures, order: str
) -> None:
    async with AsyncExitStack() as operator:
        await operator.enter_async_context(env.operator())
        await env.set_up()
        backup = yaml.safe_load(await env.do("get", "isvc,tm", "-o", "yaml"))
        if "operator down" in order:
            await operator.aclose()
        await env.wipe()
        hosts_first = sorted(backup["items"], key=lambda each: each["kind"])
        items = hosts_first[::-1] if "models first" in order else hosts_first
        await env.do("apply", "-f", "-", text=yaml.safe_dump_all(items))
        if "operator down" in order:
            await asyncio.sleep(GRACE_PERIOD)  # the garbage collector has seen the models before the operator does
            await operator.enter_async_context(env.operator())
        await env.served(*MODELS)
        await asyncio.sleep(GRACE_PERIOD + 1)
        assert env.ready() == sorted(MODELS), "and they stay"
        for report in (figures, tenants):
            take_served(report, env, f"export and apply, {order}")


async def test_export_with_owner_references_is_refused_and_passes_after_the_suggested_command(
    env: RestoreEnv, figures: Figures, api_server: Cluster, tmp_path: Path
) -> None:
    async with env.operator():
        await env.set_up()
    backup = yaml.safe_load(await env.do("get", "isvc,tm", "-o", "yaml"))
    uid = next(each for each in backup["items"] if each["kind"] == "InferenceService")["metadata"]["uid"]
    owner = {"apiVersion": f"{GROUP}/v1beta1", "kind": "InferenceService", "name": HOST, "uid": uid}
    for manifest in backup["items"]:  # as earlier releases wrote it
        if manifest["kind"] == "TrainedModel":
            manifest["metadata"]["ownerReferences"] = [owner]
    (tmp_path / "backup.yaml").write_text(yaml.safe_dump(backup))
    await env.wipe()
    await asyncio.to_thread(configure, env.kubectl)
    async with env.operator(), webhook_beside(api_server.kubeconfig, env.kubectl, tmp_path):
        with pytest.raises(Refused) as refused:
            await env.do("apply", "-f", str(tmp_path / "backup.yaml"))
        assert str(refused.value).count("does not exist, and Kubernetes deletes an object") == len(MODELS)
        assert env.models() == []
        (command,) = set(re.findall(r"(kubectl patch --local .* -f -)", str(refused.value)))
        await asyncio.to_thread(run, command, tmp_path, env.kubectl)
        await env.served(*MODELS)
        take_served(figures, env, "an older backup, after the command of the refusal")


def run(command: str, folder: Path, kubectl: Kubectl) -> None:
    """Run a command in a shell, as a user with a copied command does."""
    subprocess.run(command, shell=True, check=True, cwd=folder, env=kubectl.env)


async def test_argo_cd_manages_placed_models_without_owners(env: RestoreEnv) -> None:
    async with env.operator():
        await env.set_up()
        owner = {"apiVersion": f"{GROUP}/v1beta1", "kind": "InferenceService", "name": HOST}
        owner["uid"] = env.kubectl.get("isvc", HOST)["metadata"]["uid"]
        patch = {"metadata": {"ownerReferences": [owner]}}
        await env.do("patch", "tm", "a", "--type=merge", "-p", json.dumps(patch))
        await eventually_in_thread(
            lambda: not any("ownerReferences" in each["metadata"] for each in env.kubectl.list("tm")),
            "no model has an owner reference",
        )
        assert env.kubectl.get("tm", "a")["status"]["placedBy"] == {"name": HOST, "uid": owner["uid"]}
