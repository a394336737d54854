"""Routers of a heterogeneous host: Deployment, PodDisruptionBudget, `pods.json`, and the Service that leads to them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from manyserve.api import names, routerenv
from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.names import Key
from manyserve.api.routes import MAX_PODS, read_pods
from manyserve.plan.actions import Apply
from manyserve.plan.children.router_pod import GRACE_SECONDS
from manyserve.plan.children.routers import pods_json
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.plan import plan
from manyserve.plan.rules import allocation
from manyserve.router.settings import RouterSettings
from tests.support import make, world

HOST = "triton-mms"
ROUTER = names.router(HOST)
IMAGE = {"image": "example/manyserve"}


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))


def observed(router: dict[str, Any] | None = None, **predictor: Any) -> Observed:
    config = make.config(router=IMAGE if router is None else router)
    return Observed(Key("default", HOST), config, make.host(**{"allocation": HETEROGENEOUS} | predictor))


def applied(seen: Observed) -> dict[Child, Manifest]:
    return {Child(each.manifest["kind"], each.manifest["metadata"]["name"]): each.manifest for each in applies(seen)}


def applies(seen: Observed) -> tuple[Apply, ...]:
    return plan(seen, make.NOW).applies


def pod(
    name: str = "p", ip: str | None = "10.0.0.1", *, shard: int = 0, phase: str = "Running", **more: Any
) -> Manifest:
    made = make.pod(name, ready=more.pop("ready", True))
    labels = made["metadata"]["labels"] | {names.SHARD_LABEL: str(shard)}
    status = made["status"] | {"phase": phase} | ({"podIP": ip} if ip is not None else {})
    return made | {"metadata": made["metadata"] | {"labels": labels} | more, "status": status}


def rows(*pods: Manifest) -> list[dict[str, Any]]:
    text = pods_json(pods)
    assert len(read_pods(text.encode())) == len(json.loads(text)), "routers can read it"
    return list(json.loads(text))


def containers(seen: Observed) -> dict[str, Manifest]:
    spec = applied(seen)[Child("Deployment", ROUTER)]["spec"]["template"]["spec"]
    return {each["name"]: each for each in (*spec["initContainers"], *spec["containers"])}


def test_homogeneous_host_has_no_routers() -> None:
    children = applied(observed(allocation=None))
    assert not [each for each in children if each.name == ROUTER]
    assert children[Child("Service", HOST)]["spec"]["selector"] == names.selector(HOST)


def test_heterogeneous_host_has_routers_to_which_its_service_leads() -> None:
    children = applied(observed())
    assert {each.kind for each in children if each.name == ROUTER} == {"Deployment", "PodDisruptionBudget", "ConfigMap"}
    deployment = children[Child("Deployment", ROUTER)]
    selector = children[Child("Service", HOST)]["spec"]["selector"]
    assert selector == deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["replicas"] == 2
    ports = {each["name"]: each["containerPort"] for each in containers(observed())["envoy"]["ports"]}
    assert {each["targetPort"] for each in children[Child("Service", HOST)]["spec"]["ports"]} <= ports.keys()


def test_pods_of_shards_do_not_match_the_service_of_a_heterogeneous_host() -> None:
    children = applied(observed())
    selector = children[Child("Service", HOST)]["spec"]["selector"]
    labels = children[Child("Deployment", f"{HOST}-predictor-s0")]["spec"]["template"]["metadata"]["labels"]
    assert not selector.items() <= labels.items()


@pytest.mark.parametrize("router", [{}, {"image": ""}], ids=["absent", "empty"])
def test_host_without_the_image_of_routers_waits_with_a_sentence(router: dict[str, Any]) -> None:
    todo = plan(observed(router), make.NOW)
    assert not [each for each in todo.applies if each.manifest["kind"] in ("Deployment", "ConfigMap")]
    (status,) = [each.after for each in todo.statuses if each.kind == "InferenceService"]
    ready = {each.type: each for each in status.conditions}["Ready"]
    assert (ready.status, ready.reason) == ("False", "RouterNotConfigured")
    assert (
        ready.message == "router.image is not in inferenceservice-config; a host with allocation Heterogeneous needs it"
    )


def test_image_that_is_removed_from_the_configuration_ends_no_router() -> None:
    running = world.carry_out(observed(), plan(observed(), make.NOW))
    todo = plan(replace(running, config=make.config(router={})), make.NOW)
    assert (todo.deletes, todo.applies) == ((), ())


def test_single_router_has_no_disruption_budget() -> None:
    assert Child("PodDisruptionBudget", ROUTER) not in applied(observed(IMAGE | {"replicas": 1}))


def test_containers_of_routers_are_restricted() -> None:
    spec = applied(observed())[Child("Deployment", ROUTER)]["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in containers(observed()).values():
        security = each["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert security["runAsNonRoot"]
        assert security["runAsUser"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert {"limits", "requests"} <= each["resources"].keys()


def test_routers_have_the_configured_pull_secrets_and_no_id_without_contexts() -> None:
    hosts = {"imagePullSecrets": ["of-all", "own"], "podSecurityContext": {}, "agentSecurityContext": {}}
    seen = observed(imagePullSecrets=[{"name": "own"}])
    seen = replace(seen, config=make.config(router=IMAGE, hosts=hosts))
    spec = applied(seen)[Child("Deployment", ROUTER)]["spec"]["template"]["spec"]
    assert spec["imagePullSecrets"] == [{"name": "own"}, {"name": "of-all"}]
    assert spec["securityContext"]["runAsNonRoot"]
    assert "fsGroup" not in spec["securityContext"]
    assert all("runAsUser" not in each["securityContext"] for each in containers(seen).values())


def test_frozen_program_is_replaced_before_agents_stop_to_wait() -> None:
    probe = containers(observed())["router"]["livenessProbe"]
    seconds = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert seconds + probe["terminationGracePeriodSeconds"] <= 8
    assert probe["httpGet"] == {"path": "/healthz", "port": "router"}


def test_environment_of_routers_is_what_the_program_reads() -> None:
    found = containers(observed(IMAGE | {"maxRequestBytes": "1Mi"}))
    assert found["router"]["env"] == found["envoy-config"]["env"]
    env = {each["name"]: each.get("value", "uid-of-the-pod") for each in found["router"]["env"]}
    settings = RouterSettings.from_env(env)
    assert settings.router == "uid-of-the-pod"
    assert settings.max_request_bytes == 1024**2
    mounts = {each["mountPath"] for each in found["router"]["volumeMounts"]}
    assert {str(settings.pods_file.parent), str(settings.run_dir)} <= mounts
    assert settings.pods_file.name == routerenv.PODS_KEY
    ports = {each["name"]: each["containerPort"] for name in ("envoy", "router") for each in found[name]["ports"]}
    assert (ports["router"], ports["envoy-status"]) == (settings.port, settings.status_port)
    assert (ports["http"], ports["grpc"]) == (settings.http_port, settings.grpc_port)
    assert settings.endpoint_seconds + settings.drain_seconds < GRACE_SECONDS


def test_envoy_starts_with_the_file_of_the_init_container() -> None:
    found = containers(observed(IMAGE | {"envoyImage": "example/envoy:1.36", "concurrency": 3}))
    assert found["envoy"]["image"] == "example/envoy:1.36"
    arguments = found["envoy"]["args"]
    assert found["envoy-config"]["args"][-1] == arguments[arguments.index("-c") + 1]
    assert arguments[arguments.index("--concurrency") + 1] == "3"
    assert found["envoy"]["lifecycle"]["preStop"]["httpGet"] == {"path": "/drain", "port": routerenv.ROUTER_PORT}


def test_routers_reach_the_port_of_the_users_server() -> None:
    env = [{"name": "MULTI_MODEL_SERVER", "value": "true"}]
    container = {"name": "own", "image": "i", "ports": [{"containerPort": 8085}], "env": env}
    values = {
        each["name"]: each.get("value")
        for each in containers(observed(triton=None, containers=[container]))["router"]["env"]
    }
    assert values[routerenv.SERVER_HTTP_PORT] == "8085"


def test_routers_run_where_the_predictor_may() -> None:
    given: dict[str, Any] = {
        "nodeSelector": {"pool": "a"},
        "tolerations": [{"key": "a"}],
        "imagePullSecrets": [{"name": "s"}],
    }
    spec = applied(observed(**given))[Child("Deployment", ROUTER)]["spec"]["template"]["spec"]
    assert {key: spec[key] for key in given} == given


def test_agents_of_a_heterogeneous_host_wait_for_routers() -> None:
    def env(seen: Observed) -> set[str]:
        (first, *_) = [
            each for child, each in applied(seen).items() if "-predictor-" in child.name and child.kind == "Deployment"
        ]
        (agent,) = [each for each in first["spec"]["template"]["spec"]["containers"] if each["name"] == "agent"]
        return {each["name"] for each in agent["env"]}

    assert env(observed()) - env(observed(allocation=None)) == {"MANYSERVE_ROUTERS"}


def test_pods_json_names_the_running_pods_by_shard() -> None:
    pods = [pod("b", "10.0.0.2", shard=1), pod("a", "10.0.0.1"), pod("c", "fd00::0:3", shard=2, ready=False)]
    assert rows(*pods) == [
        {"uid": "uid-a", "name": "a", "ip": "10.0.0.1", "shard": 0},
        {"uid": "uid-b", "name": "b", "ip": "10.0.0.2", "shard": 1},
        {"uid": "uid-c", "name": "c", "ip": "fd00::3", "shard": 2},
    ]
    assert pods_json(pods) == pods_json(reversed(pods))


@pytest.mark.parametrize(
    "other",
    [
        pod(ip=None),
        pod(ip="no address"),
        pod(phase="Pending"),
        pod(phase="Failed"),
        pod(deletionTimestamp="2026-01-01T00:00:00Z"),
    ],
    ids=["without an address", "invalid", "pending", "failed", "in deletion"],
)
def test_pods_json_leaves_out_a_pod_that_cannot_answer(other: Manifest) -> None:
    assert rows(other) == []


def test_pods_json_keeps_the_ready_one_of_two_pods_with_one_address() -> None:
    (row,) = rows(pod("a", ready=False), pod("b"))
    assert row["name"] == "b"


def test_pods_json_is_bounded() -> None:
    pods = [pod(f"p{number}", f"10.1.{number // 256}.{number % 256}") for number in range(MAX_PODS + 5)]
    assert len(rows(*pods)) == MAX_PODS


def config_map_writes(seen: Observed) -> list[Apply]:
    return [each for each in applies(seen) if each.manifest["kind"] == "ConfigMap"]


def test_pods_json_is_written_when_it_changes_only() -> None:
    first = observed()
    running = world.carry_out(first, plan(first, make.NOW))
    assert config_map_writes(running) == []
    grown = replace(running, pods=(pod(),))
    (write,) = config_map_writes(grown)
    assert write.manifest["data"] == {routerenv.PODS_KEY: pods_json([pod()])}
    assert config_map_writes(world.carry_out(grown, plan(grown, make.NOW))) == []


def test_pods_json_of_an_invalid_host_follows_its_pods_and_is_not_created() -> None:
    invalid = make.host(allocation=HETEROGENEOUS, minReplicas=2, maxReplicas=1)
    assert config_map_writes(replace(observed(), host=invalid)) == []
    running = world.carry_out(observed(), plan(observed(), make.NOW))
    assert len(config_map_writes(replace(running, host=invalid, pods=(pod(),)))) == 1


def test_config_map_of_an_earlier_host_is_left_alone() -> None:
    running = world.carry_out(observed(), plan(observed(), make.NOW))
    successor = make.host(allocation=HETEROGENEOUS)
    successor = successor.model_copy(update={"metadata": successor.metadata.model_copy(update={"uid": "another"})})
    assert config_map_writes(replace(running, host=successor, pods=(pod(),))) == []


def test_homogeneous_host_leaves_a_config_map_of_the_routers_name_alone() -> None:
    running = world.carry_out(observed(), plan(observed(), make.NOW))
    orphan = {"kind": "ConfigMap", "metadata": {"name": ROUTER, "namespace": "default", "labels": names.labels(HOST)}}
    seen = replace(observed(allocation=None), children={Child("ConfigMap", ROUTER): orphan}, pods=running.pods)
    assert config_map_writes(seen) == []
