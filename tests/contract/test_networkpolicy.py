"""Sample of NetworkPolicies: the API server accepts them, and they select existing pods and ports."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from manyserve.api import names
from manyserve.api.address_policy import refusal
from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.router_pod import build_router_template
from tests.chart.rendering import objects
from tests.support import make
from tests.support.kubectl import Kubectl

SAMPLE = Path(__file__).parents[2] / "deploy" / "samples" / "networkpolicy.yaml"
POLICY, ROUTERS = (dict[str, Any](each) for each in yaml.safe_load_all(SAMPLE.read_text()))
FORBIDDEN = (
    "10.96.0.1",
    "172.16.9.9",
    "192.168.1.1",
    "127.0.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
)
FORBIDDEN_6 = ("::1", "fd00:ec2::254", "fe80::1", "64:ff9b::a9fe:a9fe")


def test_network_policy_sample_is_accepted_by_the_api_server(kubectl: Kubectl) -> None:
    printed = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(SAMPLE))
    assert printed.splitlines() == [
        f"networkpolicy.networking.k8s.io/manyserve-{name} created (server dry run)" for name in ("hosts", "routers")
    ]


PODS = build_pod_template(make.host(), make.config())
OF_ROUTERS = build_router_template(make.host(), make.config())


def port_names(template: dict[str, Any]) -> set[str]:
    return {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}


@pytest.mark.parametrize(("policy", "template"), [(POLICY, PODS), (ROUTERS, OF_ROUTERS)], ids=["hosts", "routers"])
def test_network_policy_sample_selects_the_pods_and_ports_of_hosts(
    policy: dict[str, Any], template: dict[str, Any]
) -> None:
    labels = template["metadata"]["labels"]
    for expression in policy["spec"]["podSelector"]["matchExpressions"]:
        key = expression["key"]
        assert key in labels
        assert labels[key] in expression.get("values", [labels[key]])
    assert names.selector("triton-mms").keys() <= labels.keys()
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} <= port_names(template)


def test_network_policy_sample_opens_no_port_of_envoy_itself_and_the_routers_state_to_the_operator() -> None:
    rules = ROUTERS["spec"]["ingress"]
    assert not any({"port": "envoy-status"} in each["ports"] for each in rules)
    (state,) = (each for each in rules if {"port": "router"} in each["ports"])
    assert state["from"] == POLICY["spec"]["ingress"][1]["from"]


def test_network_policy_sample_lets_routers_reach_the_pods_with_models_alone() -> None:
    (rule,) = ROUTERS["spec"]["egress"]
    assert rule["to"] == [{"podSelector": {"matchLabels": {names.COMPONENT_LABEL: names.PREDICTOR}}}]
    assert {each["port"] for each in rule["ports"]} == port_names(PODS) - {"metrics"}


def test_network_policy_sample_opens_the_agents_port_to_the_operator_and_to_routers_only() -> None:
    rules = [each for each in POLICY["spec"]["ingress"] if {"port": "agent"} in each["ports"]]
    (peer,), (routers,) = (rule["from"] for rule in rules)
    labels = routers["podSelector"]["matchLabels"]
    assert labels.items() <= build_router_template(make.host(), make.config())["metadata"]["labels"].items()
    wanted = peer["podSelector"]["matchLabels"]
    selected = [each for each in objects() if wanted.items() <= labels_of(each).items()]
    assert [each["metadata"]["name"] for each in selected] == ["manyserve-operator"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "manyserve-system"}


def labels_of(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the labels of a Deployment's pods."""
    labels = manifest["spec"]["template"]["metadata"]["labels"] if manifest["kind"] == "Deployment" else {}
    return dict(labels)


def test_network_policy_sample_blocks_the_cluster_and_metadata_addresses() -> None:
    blocks = [peer["ipBlock"] for rule in POLICY["spec"]["egress"] for peer in rule["to"] if "ipBlock" in peer]
    for text in (*FORBIDDEN, *FORBIDDEN_6):
        address = ip_address(text)
        assert refusal(address, ()), "the agent refuses it too"
        allowing = [
            each
            for each in blocks
            if address in ip_network(each["cidr"]) and not any(address in ip_network(no) for no in each["except"])
        ]
        assert allowing == []
