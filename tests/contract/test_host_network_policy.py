"""NetworkPolicies of hosts against a real API server: made, corrected, and deleted when they are turned off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from manyserve.api import names
from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.servingconfig import NAME
from manyserve.cluster.client import KubeClient
from manyserve.operator.operator import Operator
from manyserve.plan.rules import allocation
from tests.contract.stage import HOST, Manifest, configure, running, writes_stop
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl

POLICY = names.network_policy(HOST)
CLIENTS = {
    "podSelector": {"matchLabels": {}},
    "namespaceSelector": {"matchLabels": {"team": "a"}, "matchExpressions": []},
}
BLOCK = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
OPERATOR = {"podSelector": {"matchLabels": {"app": "operator"}}}
ON = {"enabled": True, "operator": [OPERATOR], "from": [CLIENTS, BLOCK], "metricsFrom": [{"namespaceSelector": {}}]}


async def set_policies(kubectl: Kubectl, section: Manifest | None) -> None:
    patch = {"data": {"hosts": json.dumps({"networkPolicy": section})}}
    await asyncio.to_thread(kubectl, "patch", "configmap", NAME, "-p", json.dumps(patch))


@asynccontextmanager
async def operating(kubectl: Kubectl, client: KubeClient, *, network_policies: bool) -> AsyncIterator[Operator]:
    """Run an operator in a namespace with policies in its configuration, and no kubelet."""
    await asyncio.to_thread(configure, kubectl)
    await set_policies(kubectl, ON)
    async with running(client, kubectl.namespace, 9, network_policies=network_policies) as operator:
        yield operator


async def has(kubectl: Kubectl, *policies: str) -> None:
    """Wait until these policies are all that there are."""
    wanted = sorted(policies)
    await eventually_in_thread(
        lambda: sorted(each["metadata"]["name"] for each in kubectl.list("networkpolicy")) == wanted, f"{wanted} exist"
    )


def policy(kubectl: Kubectl) -> Any:
    return kubectl.get("networkpolicy", POLICY)


async def test_policy_of_a_host_is_made_and_settles(kubectl: Kubectl, client: KubeClient) -> None:
    async with operating(kubectl, client, network_policies=True) as operator:
        await asyncio.to_thread(kubectl.create, make.host_object(HOST))
        await has(kubectl, POLICY)
        (owner,) = policy(kubectl)["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("InferenceService", HOST, True)
        requests = policy(kubectl)["spec"]["ingress"][0]
        assert requests["from"] == [{"podSelector": {}, "namespaceSelector": {"matchLabels": {"team": "a"}}}, BLOCK]
        await writes_stop(kubectl, "networkpolicy", operator)


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "add", "path": "/spec/ingress/1/from/0/namespaceSelector", "value": {}}],
        [{"op": "remove", "path": "/spec/ingress/1/from"}],
        [{"op": "replace", "path": "/spec/podSelector", "value": {"matchLabels": {"no": "pod"}}}],
    ],
    ids=["wider peer", "all peers", "other pods"],
)
async def test_policy_that_a_user_edits_is_corrected(kubectl: Kubectl, client: KubeClient, patch: Any) -> None:
    async with operating(kubectl, client, network_policies=True):
        await asyncio.to_thread(kubectl.create, make.host_object(HOST))
        await has(kubectl, POLICY)
        before = policy(kubectl)["spec"]
        await asyncio.to_thread(kubectl, "patch", "networkpolicy", POLICY, "--type=json", "-p", json.dumps(patch))
        await eventually_in_thread(lambda: policy(kubectl)["spec"] == before, "the policy is as before")


async def test_policies_are_deleted_when_they_are_turned_off(kubectl: Kubectl, client: KubeClient) -> None:
    async with operating(kubectl, client, network_policies=True):
        await asyncio.to_thread(kubectl.create, make.host_object(HOST))
        await has(kubectl, POLICY)
        await set_policies(kubectl, {"enabled": False})
        await has(kubectl)


async def test_policy_of_a_user_with_the_name_of_ours_stays(kubectl: Kubectl, client: KubeClient) -> None:
    own = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": POLICY},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    async with operating(kubectl, client, network_policies=True):
        await asyncio.to_thread(kubectl.create, own)
        await asyncio.to_thread(kubectl.create, make.host_object(HOST))
        sentence = f"NetworkPolicy {POLICY}: NetworkPolicy {POLICY} already exists and does not belong to the Inference"
        await eventually_in_thread(
            lambda: sentence in json.dumps(kubectl.get("isvc", HOST).get("status")), "the host names the policy"
        )
        assert policy(kubectl)["spec"] == own["spec"]


async def test_operator_without_the_rights_makes_no_policy(kubectl: Kubectl, client: KubeClient) -> None:
    async with operating(kubectl, client, network_policies=False):
        await asyncio.to_thread(kubectl.create, make.host_object(HOST))
        await eventually_in_thread(lambda: kubectl.exists("service", HOST), "the host has its Service")
        await has(kubectl)


async def test_heterogeneous_host_has_a_policy_for_its_routers(
    kubectl: Kubectl, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))
    async with operating(kubectl, client, network_policies=True) as operator:
        await asyncio.to_thread(kubectl.create, make.host_object(HOST, allocation=HETEROGENEOUS))
        await has(kubectl, POLICY, names.router(HOST))
        await writes_stop(kubectl, "networkpolicy", operator)
