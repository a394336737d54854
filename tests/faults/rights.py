"""Programs with only the rights of the chart: their ServiceAccounts with the shipped roles.

A right is a verb, a resource, and the namespace of its Role. The used rights are read from the proxy's history.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from manyserve.operator.settings import OperatorSettings
from tests.faults.env import FaultEnv, operator
from tests.faults.exchange import Line
from tests.faults.restarting import restarting
from tests.support.kubectl import Kubectl, Manifest
from tests.support.scoped import grant

VALUES = (
    "gateway.enabled=true",
    "config.credentials.readSecretAnnotations=true",
    "config.hosts.networkPolicy.enabled=true",
)
"""All values of the chart that add a right of the operator, beside those of the scope.

`config.router.enabled` is left out: tests/contract/test_heterogeneous.py uses its rights.
"""
SETTINGS = {"MANYSERVE_NETWORK_POLICIES": "true"}
"""Settings that the chart gives the operator with these values."""
NAME = "shipped"
TAKES_A_MINUTE = {("patch", "events")}
"""A repeated Event increments the count of the first one, after a minute at the earliest."""
EVERYWHERE = ""
"""The namespace of the rights of a ClusterRole."""
_RESOURCE = re.compile(
    r"^(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<resource>[^/?]+)(?:/[^/?]+(?P<status>/status)?)?(?:\?|$)"
)
Right = tuple[str, str, str]


def given(manifests: Iterable[Manifest]) -> set[Right]:
    """Return the rights that roles give."""
    return {
        (verb, resource, role["metadata"].get("namespace", EVERYWHERE))
        for role in manifests
        for rule in role.get("rules", ())
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }


def used(history: Iterable[Line]) -> set[Right]:
    """Return the rights that requests needed. An apply of a new object needs the right to create it, too.

    A right of a namespace is also one of a ClusterRole.
    """
    rights: set[Right] = set()
    for line in history:
        if asked := _RESOURCE.match(line.path):
            resource = asked["resource"] + (asked["status"] or "")
            verbs = {line.verb, *(["create"] if (line.verb, line.status) == ("patch", 201) else [])}
            rights |= {(verb, resource, where) for verb in verbs for where in (asked["namespace"] or "", EVERYWHERE)}
    return rights


def refused(history: Iterable[Line]) -> list[Line]:
    """Return the requests for which a right is missing."""
    return [each for each in history if each.status == 403]


def of_program(manifests: Iterable[Manifest], program: str) -> list[Manifest]:
    """Return the objects of one program of a release, `operator` or `webhook`."""
    return [each for each in manifests if re.search(rf"-{program}(-scope)?$", each["metadata"]["name"])]


@asynccontextmanager
async def with_shipped_rights(
    env: FaultEnv, *values: str, release: Kubectl | None = None, settings: dict[str, str] | None = None
) -> AsyncIterator[list[Manifest]]:
    """Replace the operator with one with the shipped rights and leader election; yield its roles.

    `release` is kubectl in the namespace of the release, and the env's namespace is the default.
    """
    home = release or env.kubectl
    namespace, name = home.namespace, f"{home.namespace}-operator"
    manifests = await asyncio.to_thread(grant, home, *values)
    token = (await asyncio.to_thread(home, "create", "token", name)).strip()
    env.operator.may_start.clear()
    env.operator.kill()
    before = f"{env.kubectl.namespace}/{OperatorSettings().lease}"  # the mark of the operator that is replaced
    own = {"MANYSERVE_LEADER_ELECTION": "true", "MANYSERVE_LEASE": name, "MANYSERVE_TAKE_OVER": before}
    own |= settings or {}
    restarted = operator(env.proxy, namespace, env.agent_port, env.folder, NAME, settings=own, token=token)
    try:
        async with restarting(restarted):
            env.operator = restarted
            await restarted.ready()
            yield of_program(manifests, "operator")
    finally:
        await revoke(home)


async def revoke(release: Kubectl) -> None:
    """Delete the objects of a release that are in no namespace."""
    names = (f"{release.namespace}-{program}" for program in ("operator", "webhook"))
    kinds = "clusterrole,clusterrolebinding,validatingwebhookconfiguration"
    await asyncio.to_thread(release, "delete", kinds, *names, "--ignore-not-found")
