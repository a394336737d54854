"""A heterogeneous host against a real API server and its controllers: shards, routers, pods.json, and the Service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcluster.paths import Cluster
from manyserve.api import names, routerenv
from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.modelconfig import content_hash
from manyserve.api.names import Key
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.cluster.observe import observe
from manyserve.operator.operator import Operator
from manyserve.plan.rules import allocation
from tests.contract.shards import Shards, shards
from tests.contract.stage import HOST, Manifest, configure, running, writes_stop
from tests.support import make
from tests.support.eventually import NotInTime, eventually, eventually_in_thread
from tests.support.kubectl import Kubectl, condition
from tests.support.scoped import as_account, grant

ROUTER = names.router(HOST)
MODELS = ("a", "b", "c")
READY = ("True", None)


@dataclass
class Host:
    """A namespace with an operator, and a fake of everything that runs in pods."""

    kubectl: Kubectl
    fake: Shards
    operator: Operator

    def apply(self, *manifests: Manifest) -> None:
        self.kubectl.apply(*map(self.kubectl.here, manifests))

    def condition(self, kind: str = "Ready") -> tuple[str | None, str | None, str | None]:
        found = condition(self.kubectl.get("isvc", HOST), kind)
        return found.get("status"), found.get("reason"), found.get("message")

    async def is_true(self, kind: str) -> None:
        """Wait until the host has this condition, without a problem."""
        try:
            await eventually_in_thread(lambda: self.condition(kind) == ("True", None, None), f"{kind} is True")
        except NotInTime as late:
            raise AssertionError(self.kubectl.get("isvc", HOST).get("status")) from late

    def names(self, kind: str) -> list[str]:
        found = self.kubectl.list(kind, "-l", f"{names.HOST_LABEL}={HOST}")
        return sorted(each["metadata"]["name"] for each in found)

    def pods(self, selector: dict[str, str]) -> list[Manifest]:
        return self.kubectl.list("pod", "-l", ",".join(f"{key}={value}" for key, value in selector.items()))

    def pods_json(self) -> str:
        text: str = self.kubectl.get("configmap", ROUTER)["data"][routerenv.PODS_KEY]
        return text

    def models(self) -> dict[str, tuple[str | None, str | None]]:
        """Return the status and the message of each model's condition Ready."""
        found = {each["metadata"]["name"]: condition(each) for each in self.kubectl.list("tm")}
        return {name: (each.get("status"), each.get("message")) for name, each in found.items()}

    def loaded(self, name: str) -> str | None:
        loaded: str | None = self.kubectl.get("tm", name).get("status", {}).get("loaded")
        return loaded

    def events(self, name: str, reason: str) -> list[str]:
        """Return the messages of the events about an object."""
        selector = f"involvedObject.name={name},reason={reason}"
        return [each["message"] for each in self.kubectl.list("events", "--field-selector", selector)]

    def led(self) -> set[str]:
        seen = observe(self.operator._state, Key(self.kubectl.namespace, HOST))
        return set() if seen is None else set(seen.led_by_all)


@pytest.fixture
async def shipped(api_server: Cluster, kubectl: Kubectl, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """Yield a client with the rights of the chart's operator."""
    values = (f"scope.namespaces={{{kubectl.namespace}}}", "config.router.enabled=true")
    await asyncio.to_thread(grant, kubectl, *values)
    own = as_account(api_server.kubeconfig, kubectl, f"{kubectl.namespace}-operator", tmp_path)
    async with KubeClient(find_cluster_config({"KUBECONFIG": str(own)})) as client:
        yield client


@pytest.fixture
async def host(
    kubectl: Kubectl, client: KubeClient, shipped: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Host]:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))
    await asyncio.to_thread(configure, kubectl)
    inside = json.dumps({"data": {"ingress": json.dumps({"disableIngressCreation": True})}})
    await asyncio.to_thread(kubectl, "patch", "configmap", "inferenceservice-config", "-p", inside)
    async with (
        shards(client, kubectl.namespace, HOST) as (fake, port),
        running(shipped, kubectl.namespace, port, router_port=port) as operator,
    ):
        await eventually(lambda: not operator.readiness_problem())
        yield Host(kubectl, fake, operator)


def heterogeneous(**predictor: Any) -> Manifest:
    bounds = {"minReplicas": 2, "maxReplicas": 3}
    return make.host_object(**({"allocation": HETEROGENEOUS} | bounds | predictor))


def copied(name: str, **copies: int) -> Manifest:
    raw = make.model_object(name)
    return raw | {"spec": raw["spec"] | copies}


async def ready(host: Host) -> None:
    host.fake.routers_start.set()
    await asyncio.to_thread(host.apply, heterogeneous(), *(make.model_object(name) for name in MODELS))
    for kind in ("RouterReady", "PredictorReady", "Ready"):
        await host.is_true(kind)


async def test_service_of_a_heterogeneous_host_leads_to_its_routers(host: Host) -> None:
    await asyncio.to_thread(host.apply, heterogeneous(), *(make.model_object(name) for name in MODELS))
    await eventually_in_thread(
        lambda: host.names("deployment") == [f"{HOST}-predictor-s0", f"{HOST}-predictor-s1", ROUTER],
        "all pods are made",
    )
    await eventually_in_thread(lambda: host.condition()[:2] == ("False", "RouterNotReady"), "no router is ready")
    assert str(host.condition()[2]).startswith("0 of 2 routers are ready")
    host.fake.routers_start.set()
    await host.is_true("RouterReady")
    selector = host.kubectl.get("service", HOST)["spec"]["selector"]
    led_to = [each["metadata"]["name"] for each in host.pods(selector)]
    assert sorted(led_to) == sorted(pod.name for pod in host.fake.routers())
    assert len(led_to) == 2


async def test_operator_learns_from_routers_which_models_they_lead(host: Host) -> None:
    await ready(host)
    await eventually_in_thread(lambda: host.led() == set(MODELS), "all models are led")
    host.fake.led = {"a"}
    host.fake.wake()
    await eventually_in_thread(lambda: host.led() == {"a"}, "the routers have dropped the others")


async def test_model_is_ready_when_the_routers_lead_requests_to_it(host: Host) -> None:
    host.fake.led = {"a"}
    await ready(host)
    waits = ("False", "loaded on 1 of 1 copy; not all routers lead requests to it yet")
    await eventually_in_thread(lambda: host.models() == {"a": READY, "b": waits, "c": waits}, "only a is ready")
    host.fake.led = None
    host.fake.wake()
    await eventually_in_thread(lambda: host.models() == dict.fromkeys(MODELS, READY), "all models are ready")
    host.fake.routers_start.clear()
    host.fake.wake()
    await eventually_in_thread(lambda: not host.led(), "the programs of the routers restart")
    await writes_stop(host.kubectl, "isvc,tm", host.operator)
    assert host.models() == dict.fromkeys(MODELS, READY)


async def test_pods_json_follows_the_pods_and_is_mounted_at_once(host: Host) -> None:
    await ready(host)

    def rows() -> list[tuple[int, str]]:
        return [(each["shard"], each["name"]) for each in json.loads(host.pods_json())]

    def of_shards() -> list[tuple[int, str]]:
        pods = host.pods(names.selector(HOST))
        return sorted((int(each["metadata"]["labels"][names.SHARD_LABEL]), each["metadata"]["name"]) for each in pods)

    await eventually_in_thread(lambda: rows() == of_shards() and len(rows()) == 2, "both pods are listed")
    (_, old), _ = rows()
    await asyncio.to_thread(host.kubectl, "delete", "pod", old, "--grace-period=0", "--force")
    await eventually_in_thread(
        lambda: rows() == of_shards() and len(rows()) == 2 and old not in str(rows()), "the new pod is listed"
    )
    await eventually_in_thread(
        lambda: {content_hash(pod.text) for pod in host.fake.routers()} == {content_hash(host.pods_json())},
        "the routers have the new list",
    )


async def test_disruption_budgets_count_the_pods_of_all_deployments(host: Host) -> None:
    await ready(host)

    def allowed(name: str) -> tuple[int, int]:
        status = host.kubectl.get("pdb", name).get("status") or {}
        return status.get("expectedPods", 0), status.get("disruptionsAllowed", 0)

    budgets = (names.disruption_budget(HOST), ROUTER)
    await eventually_in_thread(lambda: [allowed(each) for each in budgets] == [(2, 1)] * 2, "each allows one eviction")


async def test_copies_of_a_model_follow_its_traffic(host: Host) -> None:
    host.fake.in_flight = {"a": 1.7}
    host.fake.routers_start.set()
    await asyncio.to_thread(host.apply, heterogeneous(minReplicas=3), copied("a", maxReplicas=3))
    await eventually_in_thread(lambda: host.loaded("a") == "2/2", "a has two copies")
    (sentence,) = await eventually_in_thread(lambda: host.events("a", "ScaledUp"), "the event is sent")
    assert sentence.startswith("1 to 2 copies: 1.")
    assert sentence.endswith(" requests in flight on average of 60 s, target 1 a copy")
    await eventually_in_thread(lambda: host.models() == {"a": READY}, "a is ready")


async def test_shard_above_the_most_is_removed_with_the_rights_of_the_chart(host: Host) -> None:
    host.fake.routers_start.set()
    await asyncio.to_thread(host.apply, heterogeneous(), copied("a", minReplicas=2), make.model_object("b"))
    await eventually_in_thread(lambda: host.loaded("a") == "2/2", "a has two copies")
    await asyncio.to_thread(host.apply, heterogeneous(minReplicas=1, maxReplicas=1))
    config, deployment = names.model_config(HOST, 0), f"{HOST}-predictor-s0"
    await eventually_in_thread(
        lambda: host.names("deployment") == [deployment, ROUTER] and host.names("configmap") == [config, ROUTER],
        "one shard is left",
        60,
    )
    await eventually_in_thread(lambda: host.names("pdb") == [ROUTER], "its budget goes, too")
    await eventually_in_thread(lambda: host.loaded("a") == "1/1", "a has one copy")
    await host.is_true("Ready")
    assert {name: status for name, (status, _) in host.models().items()} == {"a": "True", "b": "True"}


async def test_settled_heterogeneous_host_is_not_written_again(host: Host) -> None:
    await ready(host)
    await eventually_in_thread(lambda: host.models() == dict.fromkeys(MODELS, READY), "all models are ready")
    await writes_stop(host.kubectl, "deployment,service,configmap,pdb,isvc,tm", host.operator)


async def test_host_waits_for_the_image_of_its_routers(host: Host) -> None:
    await asyncio.to_thread(
        host.kubectl, "patch", "configmap", "inferenceservice-config", "-p", json.dumps({"data": {"router": "{}"}})
    )
    await eventually(lambda: host.operator._state.config and not host.operator._state.config.router.image)
    await asyncio.to_thread(host.apply, heterogeneous())
    await eventually_in_thread(lambda: host.condition()[1] == "RouterNotConfigured", "the host waits")
    assert host.names("deployment") == []
    image = json.dumps({"data": {"router": json.dumps({"image": "example/manyserve"})}})
    await asyncio.to_thread(host.kubectl, "patch", "configmap", "inferenceservice-config", "-p", image)
    await eventually_in_thread(lambda: ROUTER in host.names("deployment"), "the routers are made")
