"""Restore by the commands of docs/operations.md: into other namespaces, and over objects that exist."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from localcluster.paths import Cluster
from manyserve.plan.departure import GRACE_PERIOD
from tests.contract.restore import MODELS, RestoreEnv, check_routes, child, namespaces_of, take_served, targets, uids
from tests.contract.stage import configure
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures, reports
from tests.support.kubectl import Kubectl, Refused
from tests.support.webhook import webhook_beside

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
SECRET, ACCOUNT = "storage-key", "models"
"""The names in the commands of the page."""


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Figures of the models that are served after each restore, for the report."""
    return reports(request.config)["unmanaged"]


def commands() -> tuple[str, str]:
    """Return the commands of the page that make a backup and that restore it."""
    section = PAGE.read_text().partition("## Backup and restore\n")[2].partition("\n## ")[0]
    backup, restore = (
        each for each in re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE) if "kubectl" in each
    )
    return backup, restore


def accepts(kubectl: Kubectl) -> bool:
    """Return whether the webhook accepts a model that does not fit on the host."""
    try:
        kubectl.try_out(make.model_object(memory="99Gi"))
    except Refused:
        return False
    return True


def run(command: str, folder: Path, source: Kubectl, target: Kubectl) -> None:
    """Run commands of the page in a shell, with the namespaces of a test."""
    text = command.replace("team-a", source.namespace).replace("team-b", target.namespace)
    words = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(words, cwd=folder, env=source.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


WAITS = "waits-for-memory"


def reverse(folder: Path) -> None:
    """Reverse the order of the objects in the backup, in which models are first."""
    path = folder / "backup.yaml"
    listed = yaml.safe_load(path.read_text())
    assert "InferenceService" in (listed["items"][0]["kind"], listed["items"][-1]["kind"])
    path.write_text(yaml.safe_dump(listed | {"items": listed["items"][::-1]}))


async def set_up(env: RestoreEnv) -> None:
    """Create models and a host, which uses a Secret of its ServiceAccount. Wait until all but one model are served."""
    await env.do("create", "secret", "generic", SECRET, "--from-literal=AWS_ACCESS_KEY_ID=id")
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT},
        "secrets": [{"name": SECRET}],
    }
    host = make.host_object(memory="64Gi", serviceAccountName=ACCOUNT)
    models = [make.model_object(WAITS, memory="99Gi"), *(make.model_object(each, memory="1Mi") for each in MODELS)]
    manifests = [account, *models, host]
    await asyncio.to_thread(env.kubectl.apply, *map(env.kubectl.here, manifests))
    await env.served(*MODELS)


async def test_documented_commands_restore_into_other_namespaces_in_either_order_with_and_without_the_operator(
    env: RestoreEnv, api_server: Cluster, figures: Figures, tmp_path: Path
) -> None:
    backup, restore = commands()
    async with targets(env, api_server, 4) as others:
        first, second, third, fourth = (each.kubectl for each in others)
        async with env.operator(others=namespaces_of(others)):
            await set_up(env)
            before = await asyncio.to_thread(uids, env.kubectl)
            await asyncio.to_thread(run, backup, tmp_path, env.kubectl, env.kubectl)
            await asyncio.to_thread(run, restore, tmp_path, env.kubectl, first)
            await asyncio.to_thread(reverse, tmp_path)
            await asyncio.to_thread(run, restore, tmp_path, env.kubectl, second)
            for each in others[:2]:
                await each.served(*MODELS)
        await asyncio.to_thread(run, restore, tmp_path, env.kubectl, third)
        await asyncio.to_thread(reverse, tmp_path)
        await asyncio.to_thread(run, restore, tmp_path, env.kubectl, fourth)
        async with env.operator(others=namespaces_of(others)):
            for each in others:
                await each.served(*MODELS)
            await asyncio.sleep(GRACE_PERIOD + 1)
            orders = ("models first", "host first", "host first, operator down", "models first, operator down")
            for each, order in zip(others, orders, strict=True):
                assert each.ready() == sorted(MODELS), order
                take_served(figures, each, f"the commands of the page, another namespace, {order}")
                await asyncio.to_thread(check_routes, each.kubectl)
                await asyncio.to_thread(check_account, each.kubectl)
            assert await asyncio.to_thread(uids, env.kubectl) == before
            assert env.ready() == sorted(MODELS)


def check_account(kubectl: Kubectl) -> None:
    """Check that the pods of the host have its ServiceAccount and its Secret."""
    pod = child(kubectl, "deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == ACCOUNT
    assert SECRET in json.dumps(pod)


async def test_documented_commands_restore_over_objects_that_exist_and_after_their_deletion_beside_the_webhook(
    env: RestoreEnv, api_server: Cluster, figures: Figures, tmp_path: Path
) -> None:
    backup, restore = commands()
    await asyncio.to_thread(configure, env.kubectl)
    async with env.operator(), webhook_beside(api_server.kubeconfig, env.kubectl, tmp_path):
        await set_up(env)
        before = await asyncio.to_thread(uids, env.kubectl)
        await asyncio.to_thread(run, backup, tmp_path, env.kubectl, env.kubectl)
        await env.do("delete", "tm", "a")
        patch = {"spec": {"model": {"storageUri": "gs://bucket/another", "refreshInterval": "1h"}}}
        await env.do("patch", "tm", "b", "--type=merge", "-p", json.dumps(patch))
        await asyncio.to_thread(run, restore, tmp_path, env.kubectl, env.kubectl)
        await env.served(*MODELS)
        take_served(figures, env, "the commands of the page, over objects that exist")
        after = await asyncio.to_thread(uids, env.kubectl)
        assert {name for name in before if before[name] != after[name]} == {"a"}
        restored = env.kubectl.get("tm", "b")["spec"]["model"]
        assert restored["storageUri"] == make.model_object()["spec"]["model"]["storageUri"]
        assert restored["refreshInterval"] == "1h", "a field that the backup does not have stays"
        await env.do("delete", "isvc,tm", "--all")
        await eventually_in_thread(lambda: accepts(env.kubectl), "the webhook knows that the host is gone")
        await asyncio.to_thread(run, restore, tmp_path, env.kubectl, env.kubectl)
        await env.served(*MODELS)
        assert env.models() == sorted([*MODELS, WAITS]), "the webhook refused none"
        take_served(figures, env, "the commands of the page, beside the webhook")
