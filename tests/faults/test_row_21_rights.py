"""Row 21: the operator has the shipped roles and nothing else; what they give is used, and what they lack is named."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from manyserve.api import names
from tests.faults.faults import CONFIG
from tests.faults.rights import NAME, Right, given, used, with_shipped_rights
from tests.faults.scene import HOST, Scene
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Manifest, Refused, condition

TAKES_A_MINUTE = {("patch", "events")}
"""An Event that is told again counts up the first one, a minute later at the soonest."""
WITH_A_GATEWAY = {"gateway": "infra/gateway"}


@pytest.fixture
async def gateway_api(scene: Scene) -> AsyncIterator[None]:
    """Have HTTPRoutes in the cluster, of any form."""
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
    await asyncio.to_thread(scene.kubectl.apply, crd)
    await scene.do("wait", "--for=condition=Established", f"crd/{plural}.{group}")
    yield
    await scene.do("delete", "crd", f"{plural}.{group}")


@pytest.mark.usefixtures("gateway_api")
async def test_fault_21_the_shipped_rights_are_enough_and_none_of_them_is_idle(scene: Scene, figures: Figures) -> None:
    async with with_shipped_rights(scene) as roles:
        await _do_all_that_takes_a_right(scene)
        asked = [each for each in scene.proxy.history if each.client == NAME]
        assert [each for each in asked if each.status == 403] == []
        idle = given(roles) - used(asked)
        figures.take("21 rights of the shipped roles (a verb on a resource): how many", len(given(roles)), "")
        figures.take("21 of these not used in the scene", len(idle), "", below=len(TAKES_A_MINUTE) + 1)
        assert idle <= TAKES_A_MINUTE
        await scene.judge()


async def _do_all_that_takes_a_right(scene: Scene) -> None:
    await scene.do("create", "secret", "generic", "store")
    await scene.do("patch", "serviceaccount", "default", "-p", json.dumps({"secrets": [{"name": "store"}]}))
    await _configure(scene, {})
    await scene.apply(make.host_object(minReplicas=2, maxReplicas=3), *map(make.model_object, ("one", "two")))
    await scene.apply(make.model_object("three", uri="pvc://claim/model"))
    await scene.right()
    await _stands(scene, "hpa,pdb,ingress")
    await _a_model_of_an_earlier_release(scene, "one")
    await _a_host_that_is_deleted_with_its_model(scene)
    await scene.do("label", "configmap", CONFIG, f"{names.MANAGED_BY}-")
    await scene.change()
    await _configure(scene, WITH_A_GATEWAY)
    await _stands(scene, "httproute")
    await eventually_in_thread(lambda: not scene.kubectl.list("ingress"), "the Ingress goes", 60)
    await _configure(scene, {})
    await eventually_in_thread(lambda: not scene.kubectl.list("httproute"), "the HTTPRoute goes", 60)
    await scene.apply(make.host_object(minReplicas=1, maxReplicas=1))
    await eventually_in_thread(lambda: not scene.kubectl.list("hpa,pdb"), "what one replica does not need goes", 60)
    await scene.right()


async def _a_model_of_an_earlier_release(scene: Scene, name: str) -> None:
    uid = scene.kubectl.get("isvc", HOST)["metadata"]["uid"]
    owner = {"apiVersion": f"{names.GROUP}/v1beta1", "kind": "InferenceService", "name": HOST, "uid": uid}
    patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
    await scene.do("patch", "tm", name, "--type=merge", "-p", patch)
    await eventually_in_thread(
        lambda: "ownerReferences" not in scene.kubectl.get("tm", name)["metadata"], "the reference is removed", 60
    )


async def _a_host_that_is_deleted_with_its_model(scene: Scene) -> None:
    await scene.apply(make.host_object("other"), make.model_object("of-other", host="other"))
    await eventually_in_thread(
        lambda: "placedBy" in scene.kubectl.get("tm", "of-other").get("status", {}), "it is placed", 60
    )
    await scene.do("delete", "isvc", "other")
    await eventually_in_thread(lambda: not scene.kubectl.exists("tm", "of-other"), "the operator deletes the model", 60)


async def _configure(scene: Scene, ingress: dict[str, str]) -> None:
    data = {"ingress": json.dumps(ingress), "credentials": json.dumps({"readSecretAnnotations": True})}
    await scene.do("patch", "configmap", "inferenceservice-config", "-p", json.dumps({"data": data}))


async def _stands(scene: Scene, kinds: str) -> None:
    count = kinds.count(",") + 1
    await eventually_in_thread(lambda: len(scene.kubectl.list(kinds)) == count, f"there are {kinds}", 60)


async def test_fault_21_a_right_that_is_taken_away_is_named_and_holds_up_nothing_else(
    scene: Scene, figures: Figures
) -> None:
    async with with_shipped_rights(scene) as roles:
        await scene.furnish()
        role = next(each for each in roles if each["kind"] == "ClusterRole")
        await _allow(scene, role, without=("patch", "services"))
        await scene.apply(make.host_object("other"))
        await eventually_in_thread(
            lambda: 'cannot patch resource "services"' in _says(scene, "other"), "the verb is named", 60
        )
        assert _says(scene, HOST) == ""
        await scene.change()
        await scene.right(aside="other")
        began = time.monotonic()
        await _allow(scene, role)
        await eventually_in_thread(
            lambda: scene.kubectl.exists("service", "other"), "with the right the Service is made", 90
        )
        figures.take("21 a verb is allowed again: seconds until it is used", time.monotonic() - began, "s")
        await scene.do("delete", "isvc", "other")
        await scene.right()
        await scene.judge()


async def _allow(scene: Scene, role: Manifest, without: Right | None = None) -> None:
    """Have the role as it is shipped, or without a right, and wait until that is in force."""
    rules = [
        rule | {"verbs": [verb for verb in rule["verbs"] if (verb, *rule["resources"]) != without]}
        for rule in role["rules"]
    ]
    await asyncio.to_thread(scene.kubectl.apply, role | {"rules": rules})
    await eventually_in_thread(lambda: _may_patch_services(scene) is (without is None), "the role is in force")


def _may_patch_services(scene: Scene) -> bool:
    namespace = scene.kubectl.namespace
    try:
        scene.kubectl(
            "auth", "can-i", "patch", "services", f"--as=system:serviceaccount:{namespace}:{namespace}-operator"
        )
    except Refused:
        return False
    return True


def _says(scene: Scene, host: str) -> str:
    found = condition(scene.kubectl.get("isvc", host))
    return "" if found.get("status") == "True" else str(found.get("message", ""))
