"""Row 21: the operator has the shipped roles only. Each right is used, and a missing right is named."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from manyserve.api import names
from tests.faults.env import HOST, FaultEnv
from tests.faults.faults import CONFIG
from tests.faults.rights import NAME, SETTINGS, TAKES_A_MINUTE, VALUES, given, refused, used, with_shipped_rights
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Manifest, Refused, condition

WITH_A_GATEWAY = {"gateway": "infra/gateway"}
POLICIES = {"enabled": True, "operator": [{"podSelector": {"matchLabels": {"app": "operator"}}}]}


@pytest.fixture
async def gateway_api(env: FaultEnv) -> AsyncIterator[None]:
    """Install a CRD of HTTPRoutes that accepts any form."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    plural, group = "httproutes", "gateway.networking.k8s.io"
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "names": {"kind": "HTTPRoute", "plural": plural},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    await asyncio.to_thread(env.kubectl.apply, crd)
    await env.do("wait", "--for=condition=Established", f"crd/{plural}.{group}")
    yield
    await env.do("delete", "crd", f"{plural}.{group}")


@pytest.mark.usefixtures("gateway_api")
async def test_fault_21_shipped_rights_are_sufficient_and_all_used(env: FaultEnv, figures: Figures) -> None:
    async with with_shipped_rights(env, *VALUES, settings=SETTINGS) as roles:
        await _do_all_that_takes_a_right(env)
        asked = [each for each in env.proxy.history if each.client == NAME]
        assert refused(asked) == []
        idle = given(roles) - used(asked)
        figures.take("21 rights of the shipped roles (a verb on a resource): how many", len(given(roles)), "")
        figures.take("21 of these not used in the test", len(idle), "", below=len(TAKES_A_MINUTE) + 1)
        assert {(verb, resource) for verb, resource, _ in idle} <= TAKES_A_MINUTE
        await env.judge()


async def _do_all_that_takes_a_right(env: FaultEnv) -> None:
    await env.do("create", "secret", "generic", "store")
    await env.do("patch", "serviceaccount", "default", "-p", json.dumps({"secrets": [{"name": "store"}]}))
    await _configure(env, {})
    await env.apply(make.host_object(minReplicas=2, maxReplicas=3), *map(make.model_object, ("one", "two")))
    await env.apply(make.model_object("three", uri="pvc://claim/model"))
    await env.right()
    await _stands(env, "hpa,pdb,ingress")
    await _a_model_of_an_earlier_release(env, "one")
    await _a_host_that_is_deleted_with_its_model(env)
    await env.do("label", "configmap", CONFIG, f"{names.MANAGED_BY}-")
    await env.change()
    await _configure(env, WITH_A_GATEWAY, POLICIES)
    await _stands(env, "httproute,networkpolicy")
    await eventually_in_thread(lambda: not env.kubectl.list("ingress"), "the Ingress goes", 60)
    await _configure(env, {}, {"enabled": False})
    await eventually_in_thread(
        lambda: not env.kubectl.list("httproute,networkpolicy"), "the HTTPRoute and the NetworkPolicy go", 60
    )
    await env.apply(make.host_object(minReplicas=1, maxReplicas=1))
    await eventually_in_thread(lambda: not env.kubectl.list("hpa,pdb"), "what one replica does not need goes", 60)
    await env.right()


async def _a_model_of_an_earlier_release(env: FaultEnv, name: str) -> None:
    uid = env.kubectl.get("isvc", HOST)["metadata"]["uid"]
    owner = {"apiVersion": f"{names.GROUP}/v1beta1", "kind": "InferenceService", "name": HOST, "uid": uid}
    patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
    await env.do("patch", "tm", name, "--type=merge", "-p", patch)
    await eventually_in_thread(
        lambda: "ownerReferences" not in env.kubectl.get("tm", name)["metadata"], "the reference is removed", 60
    )


async def _a_host_that_is_deleted_with_its_model(env: FaultEnv) -> None:
    await env.apply(make.host_object("other"), make.model_object("of-other", host="other"))
    await eventually_in_thread(
        lambda: "placedBy" in env.kubectl.get("tm", "of-other").get("status", {}), "it is placed", 60
    )
    await env.do("delete", "isvc", "other")
    await eventually_in_thread(lambda: not env.kubectl.exists("tm", "of-other"), "the operator deletes the model", 60)


async def _configure(env: FaultEnv, ingress: dict[str, str], policies: dict[str, Any] | None = None) -> None:
    data = {
        "ingress": json.dumps(ingress),
        "credentials": json.dumps({"readSecretAnnotations": True}),
        "hosts": json.dumps({"networkPolicy": policies}),
    }
    await env.do("patch", "configmap", "inferenceservice-config", "-p", json.dumps({"data": data}))


async def _stands(env: FaultEnv, kinds: str) -> None:
    count = kinds.count(",") + 1
    await eventually_in_thread(lambda: len(env.kubectl.list(kinds)) == count, f"there are {kinds}", 60)


@pytest.mark.usefixtures("gateway_api")
async def test_fault_21_rights_without_a_gateway_suffice_to_delete_a_stale_route(env: FaultEnv) -> None:
    async with with_shipped_rights(env):
        await env.furnish()
        child = env.kubectl.get("ingress", HOST)["metadata"]
        kept = {key: child[key] for key in ("name", "namespace", "labels", "ownerReferences")}
        route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": kept}
        await asyncio.to_thread(env.kubectl.apply, route)
        await eventually_in_thread(lambda: not env.kubectl.list("httproute"), "the HTTPRoute goes", 60)
        assert refused(each for each in env.proxy.history if each.client == NAME) == []
        await env.judge()


async def test_fault_21_missing_right_is_named_and_stops_nothing_else(env: FaultEnv, figures: Figures) -> None:
    async with with_shipped_rights(env, *VALUES, settings=SETTINGS) as roles:
        await env.furnish()
        role = next(each for each in roles if each["kind"] == "ClusterRole")
        await _allow(env, role, without=("patch", "services"))
        await env.apply(make.host_object("other"))
        await eventually_in_thread(
            lambda: 'cannot patch resource "services"' in _says(env, "other"), "the verb is named", 60
        )
        assert _says(env, HOST) == ""
        await env.change()
        await env.right(aside="other")
        began = time.monotonic()
        await _allow(env, role)
        await eventually_in_thread(
            lambda: env.kubectl.exists("service", "other"), "with the right the Service is made", 90
        )
        figures.take("21 a verb is allowed again: seconds until it is used", time.monotonic() - began, "s")
        await env.do("delete", "isvc", "other")
        await env.right()
        await env.judge()


async def _allow(env: FaultEnv, role: Manifest, without: tuple[str, str] | None = None) -> None:
    """Apply the shipped role, or the role without a right, and wait until it is in force."""
    rules = [
        rule | {"verbs": [verb for verb in rule["verbs"] if (verb, *rule["resources"]) != without]}
        for rule in role["rules"]
    ]
    await asyncio.to_thread(env.kubectl.apply, role | {"rules": rules})
    await eventually_in_thread(lambda: _may_patch_services(env) is (without is None), "the role is in force")


def _may_patch_services(env: FaultEnv) -> bool:
    namespace = env.kubectl.namespace
    try:
        env.kubectl(
            "auth", "can-i", "patch", "services", f"--as=system:serviceaccount:{namespace}:{namespace}-operator"
        )
    except Refused:
        return False
    return True


def _says(env: FaultEnv, host: str) -> str:
    ready = condition(env.kubectl.get("isvc", host))
    return "" if ready.get("status") == "True" else str(ready.get("message", ""))
