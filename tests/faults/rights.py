"""An operator with the rights that the chart gives it and no others: its ServiceAccount's, by its shipped roles.

A right is a verb and a resource. Which of them were used is read from the proxy's history.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from tests.chart.rendering import Manifest, objects
from tests.faults.env import FaultEnv, operator
from tests.faults.exchange import Line
from tests.faults.restarting import restarting

VALUES = ("gateway.enabled=true", "config.credentials.readSecretAnnotations=true")
"""With all that gives the operator a right more."""
NAME = "shipped"
_RESOURCE = re.compile(r"^(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/[^/]+)?/([^/?]+)(?:/[^/?]+(/status)?)?(?:\?|$)")
_KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
Right = tuple[str, str]


def roles(namespace: str) -> list[Manifest]:
    """Return the operator's account and roles as the chart has them, for a namespace and by its name."""
    found = [
        each
        for each in objects(f"fullnameOverride={namespace}", *VALUES)
        if each["kind"] in _KINDS and each["metadata"]["name"] == f"{namespace}-operator"
    ]
    for each in found:
        for place in (each["metadata"], *each.get("subjects", ())):
            if "namespace" in place:
                place["namespace"] = namespace
    return found


def given(manifests: Iterable[Manifest]) -> set[Right]:
    """Return what some roles allow."""
    rules = [rule for each in manifests for rule in each.get("rules", ())]
    return {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}


def used(history: Iterable[Line]) -> set[Right]:
    """Return the rights that some requests needed; to apply what was not there takes the one to create it, too."""
    found: set[Right] = set()
    for line in history:
        if asked := _RESOURCE.match(line.path):
            resource = asked[1] + (asked[2] or "")
            found.add((line.verb, resource))
            if (line.verb, line.status) == ("patch", 201):
                found.add(("create", resource))
    return found


@asynccontextmanager
async def with_shipped_rights(env: FaultEnv) -> AsyncIterator[list[Manifest]]:
    """Have the operator be one with the shipped rights, which stands for election; yield what it was given."""
    namespace = env.kubectl.namespace
    found = roles(namespace)
    name = f"{namespace}-operator"
    await asyncio.to_thread(env.kubectl.apply, *found)
    token = (await env.do("create", "token", name)).strip()
    env.operator.may_start.clear()
    env.operator.kill()
    settings = {"MANYSERVE_LEADER_ELECTION": "true", "MANYSERVE_LEASE": name}
    kept = operator(env.proxy, namespace, env.agent_port, env.folder, NAME, settings=settings, token=token)
    try:
        async with restarting(kept):
            env.operator = kept
            await kept.ready()
            yield found
    finally:
        await env.do("delete", "clusterrole,clusterrolebinding", name)
