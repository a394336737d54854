"""Sample NetworkPolicy: the API server accepts it, and it selects existing pods and ports."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import yaml

from manyserve.api import names
from manyserve.api.address_policy import refusal
from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.router_pod import build_router_template
from tests.chart.rendering import objects
from tests.support import make
from tests.support.kubectl import Kubectl

SAMPLE = Path(__file__).parents[2] / "deploy" / "samples" / "networkpolicy.yaml"
POLICY: dict[str, Any] = yaml.safe_load(SAMPLE.read_text())
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
    assert printed == "networkpolicy.networking.k8s.io/manyserve-hosts created (server dry run)\n"


def test_network_policy_sample_selects_the_pods_and_ports_of_hosts() -> None:
    template = build_pod_template(make.host(), make.config())
    labels = template["metadata"]["labels"]
    for expression in POLICY["spec"]["podSelector"]["matchExpressions"]:
        key = expression["key"]
        assert key in labels
        assert labels[key] in expression.get("values", [labels[key]])
    assert names.selector("triton-mms").keys() <= labels.keys()
    ports = {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}
    assert {port["port"] for rule in POLICY["spec"]["ingress"] for port in rule["ports"]} <= ports


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
