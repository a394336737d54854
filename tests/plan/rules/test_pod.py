"""Rules for the fields of the pod beside the server's container."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.rules.validation import host_problems
from tests.plan.rules.paths import sentences
from tests.support.make import config, host, host_object

pytestmark = pytest.mark.usefixtures("both_forms")
WARM: dict[str, Any] = {"name": "warm", "image": "example/warm:1"}
LABEL = "must be a DNS label: at most 63 small letters, digits and '-', and a letter or a digit at both ends"
PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"initContainers": [{"image": "x"}]}, f"initContainers[0].name: null is not allowed; it {LABEL}"),
    "name": ({"initContainers": [WARM | {"name": "A b"}]}, f"initContainers[0].name: 'A b' is not allowed; it {LABEL}"),
    "taken": (
        {"initContainers": [WARM | {"name": "agent"}]},
        "initContainers[0].name: 'agent' is taken; it must be the name of no other container",
    ),
    "twice": (
        {"initContainers": [WARM, WARM]},
        "initContainers[1].name: 'warm' is taken; it must be the name of no other container",
    ),
    "no image": ({"initContainers": [{"name": "warm"}]}, "initContainers[0].image: is missing; it must name an image"),
    "context": (
        {"initContainers": [WARM | {"securityContext": "none"}]},
        "initContainers[0].securityContext: a text of 4 characters is not allowed; it must be a valid dictionary",
    ),
    "policy": (
        {"dnsPolicy": "default"},
        "dnsPolicy: 'default' is not allowed; it must be one of: ClusterFirst, ClusterFirstWithHostNet, Default, None",
    ),
    "no name server": (
        {"dnsPolicy": "None", "dnsConfig": {"searches": ["a.example.com"]}},
        "dnsConfig.nameservers: is missing; dnsPolicy None must have at least one",
    ),
    "host name": ({"hostname": "a.b"}, f"hostname: 'a.b' is not allowed; it {LABEL}"),
    "subdomain": ({"subdomain": "-"}, f"subdomain: '-' is not allowed; it {LABEL}"),
    "address": (
        {"hostAliases": [{"ip": "nexus", "hostnames": ["a"]}]},
        "hostAliases[0].ip: 'nexus' is not allowed; it must be an IP address",
    ),
    "account": (
        {"serviceAccount": "a", "serviceAccountName": "b"},
        "serviceAccount: 'a' is not supported; it must be left out: use serviceAccountName",
    ),
    "network": (
        {"hostNetwork": True},
        "hostNetwork: true is not supported; it must be false: pods of a host have no part in the node's namespaces",
    ),
}


@pytest.mark.parametrize(("fields", "sentence"), PROBLEMS.values(), ids=PROBLEMS)
def test_pod_rules_refuse_value_that_no_pod_may_have(fields: dict[str, Any], sentence: str) -> None:
    assert sentences(host_problems(host_object(**fields))) == [f"spec.predictor.{sentence}"]


def test_pod_rules_allow_both_names_of_service_account() -> None:
    assert host_problems(host_object(serviceAccount="a", serviceAccountName="a")) == []


def test_init_container_satisfies_pod_security_restricted_unless_the_user_says_otherwise() -> None:
    own = WARM | {"name": "own", "securityContext": {"runAsUser": 7}}
    spec = build_pod_template(host(initContainers=[WARM, own]), config())["spec"]
    first, second = spec["initContainers"]
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    assert first == WARM | {"securityContext": restricted | {"runAsUser": 1000}}
    assert second["securityContext"] == restricted | {"runAsUser": 7}
