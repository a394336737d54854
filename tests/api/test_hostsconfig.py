"""Section `hosts` of the configuration: defaults, contexts without ids, and refused fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from manyserve.api.hostsconfig import HostsConfig
from manyserve.api.servingconfig import ConfigError, parse


def hosts(**section: Any) -> HostsConfig:
    return parse({"hosts": json.dumps(section)}).hosts


def test_hosts_config_defaults_to_the_ids_of_the_images() -> None:
    assert parse({}).hosts == hosts()
    assert hosts().pod_security_context == {"fsGroup": 65532}
    assert hosts().server_security_context == {"runAsUser": 1000}
    assert hosts().agent_security_context == {"runAsUser": 65532}


@pytest.mark.parametrize("context", [None, {}, {"runAsUser": None}])
def test_hosts_config_without_ids_leaves_them_out(context: Any) -> None:
    given = hosts(podSecurityContext=context, serverSecurityContext=context, agentSecurityContext=context)
    assert given.pod_security_context == given.server_security_context == given.agent_security_context == {}


def test_hosts_config_reads_pull_secrets_by_name_or_reference() -> None:
    assert hosts(imagePullSecrets=["a", {"name": "b"}]).image_pull_secrets == ("a", "b")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"podSecurityContext": {"user": 1}},
            "hosts.podSecurityContext: user is no field of it; the known ones are app",
        ),
        ({"agentSecurityContext": {"fsGroup": 1}}, "hosts.agentSecurityContext: fsGroup is no field of it"),
        ({"serverSecurityContext": {"runAsUser": "root"}}, "runAsUser must be a whole number, or null"),
        ({"podSecurityContext": {"fsGroup": -1}}, "fsGroup must be a whole number, or null"),
        ({"podSecurityContext": {"fsGroup": True}}, "fsGroup must be a whole number, or null"),
        ({"imagePullSecrets": [{"secret": "a"}]}, "hosts.imagePullSecrets.0: Input should be a valid string"),
        ({"imagePullSecrets": [""]}, "hosts.imagePullSecrets.0: Value should have at least 1 item"),
    ],
)
def test_hosts_config_error_names_the_field(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        hosts(**section)
    assert message in str(error.value)
