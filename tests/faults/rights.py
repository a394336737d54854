"""An operator with only the rights of the chart: its ServiceAccount with the shipped roles.

A right is a verb and a resource. The used rights are read from the proxy's history.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from manyserve.operator.settings import OperatorSettings
from tests.chart.rendering import Manifest, objects
from tests.faults.env import FaultEnv, operator
from tests.faults.exchange import Line
from tests.faults.restarting import restarting

VALUES = ("gateway.enabled=true", "config.credentials.readSecretAnnotations=true")
"""Values of the chart that add a right of the operator.

`config.router.enabled` is left out: tests/contract/test_heterogeneous.py uses its rights.
"""
NAME = "shipped"
_RESOURCE = re.compile(r"^(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/[^/]+)?/([^/?]+)(?:/[^/?]+(/status)?)?(?:\?|$)")
_KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
Right = tuple[str, str]


def roles(namespace: str) -> list[Manifest]:
    """Return the operator's account and roles of the chart, for a namespace and named after it."""
    manifests = [
        manifest
        for manifest in objects(f"fullnameOverride={namespace}", *VALUES)
        if manifest["kind"] in _KINDS and manifest["metadata"]["name"] == f"{namespace}-operator"
    ]
    for manifest in manifests:
        for place in (manifest["metadata"], *manifest.get("subjects", ())):
            if "namespace" in place:
                place["namespace"] = namespace
    return manifests


def given(manifests: Iterable[Manifest]) -> set[Right]:
    """Return the rights that roles give."""
    rules = [rule for each in manifests for rule in each.get("rules", ())]
    return {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}


def used(history: Iterable[Line]) -> set[Right]:
    """Return the rights that requests needed. An apply of a new object needs the right to create it, too."""
    rights: set[Right] = set()
    for line in history:
        if asked := _RESOURCE.match(line.path):
            resource = asked[1] + (asked[2] or "")
            rights.add((line.verb, resource))
            if (line.verb, line.status) == ("patch", 201):
                rights.add(("create", resource))
    return rights


@asynccontextmanager
async def with_shipped_rights(env: FaultEnv) -> AsyncIterator[list[Manifest]]:
    """Replace the operator with one with the shipped rights and leader election; yield its roles."""
    namespace = env.kubectl.namespace
    manifests = roles(namespace)
    name = f"{namespace}-operator"
    await asyncio.to_thread(env.kubectl.apply, *manifests)
    token = (await env.do("create", "token", name)).strip()
    env.operator.may_start.clear()
    env.operator.kill()
    before = f"{namespace}/{OperatorSettings().lease}"  # the mark of the operator that is replaced
    settings = {"MANYSERVE_LEADER_ELECTION": "true", "MANYSERVE_LEASE": name, "MANYSERVE_TAKE_OVER": before}
    restarted = operator(env.proxy, namespace, env.agent_port, env.folder, NAME, settings=settings, token=token)
    try:
        async with restarting(restarted):
            env.operator = restarted
            await restarted.ready()
            yield manifests
    finally:
        await env.do("delete", "clusterrole,clusterrolebinding", name)
