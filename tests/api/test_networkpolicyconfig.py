"""Key `networkPolicy` of the section `hosts`: peers as the API server returns them, and refused ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from manyserve.api.networkpolicyconfig import NetworkPolicyConfig
from manyserve.api.servingconfig import ConfigError, parse

OPERATOR = {"podSelector": {"matchLabels": {"app": "operator"}}}


def given(**section: Any) -> NetworkPolicyConfig | None:
    return parse({"hosts": json.dumps({"networkPolicy": section})}).hosts.network_policy


def test_network_policy_config_is_absent_by_default() -> None:
    assert parse({}).hosts.network_policy is None


def test_network_policy_config_off_needs_no_peers() -> None:
    assert given(enabled=False) == given() == NetworkPolicyConfig()


@pytest.mark.parametrize(
    ("peer", "wire"),
    [
        ({"podSelector": {}}, {"podSelector": {}}),
        ({"podSelector": {"matchLabels": {}}, "namespaceSelector": {}}, {"podSelector": {}, "namespaceSelector": {}}),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": []}]}},
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
        ),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}),
        (
            {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}},
        ),
    ],
)
def test_network_policy_peer_has_the_form_of_the_api_server(peer: Any, wire: Any) -> None:
    config = given(enabled=True, operator=[OPERATOR], **{"from": [peer], "metricsFrom": [peer]})
    assert config
    assert [each.to_wire() for each in (*config.sources, *config.metrics_from)] == [wire, wire]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"enabled": True}, "hosts.networkPolicy: operator must name the operator's own pods"),
        ({"from": [{}]}, "hosts.networkPolicy.from.0: a peer must have podSelector, namespaceSelector or both"),
        ({"from": [OPERATOR, {"ipBlock": {"cidr": "::/0"}} | OPERATOR]}, "from.1: a peer must have podSelector"),
        ({"from": [{"podSelectr": {}}]}, "hosts.networkPolicy.from.0.podSelectr: Extra inputs are not permitted"),
        ({"metricsFrom": [{"podSelector": {"app": "x"}}]}, "metricsFrom.0.podSelector.app: Extra inputs"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0"}}]}, "from.0.ipBlock: 10.0.0 is no network such as 10.0.0.0/8"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.1"}}]}, "from.0.ipBlock: 10.0.0.1 is no network such as 10.0.0.0/8"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/255.0.0.0"}}]}, "10.0.0.0/255.0.0.0 is no network"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0/8"}}]}, "'10.0.0/8' does not appear to be an IPv4"),
        (
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["::/0"]}}]},
            "::/0 in except is no part of 10.0.0.0/8",
        ),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}, "10.0.0.0/8 in except is no part"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}, "11.0.0.0/9 in except is no part"),
    ],
)
def test_network_policy_config_error_names_the_field(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        given(**section)
    assert message in str(error.value)
