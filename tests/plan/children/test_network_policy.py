"""NetworkPolicies of a host: peers and ports by allocation, the drift that is detected, and their deletion."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from manyserve.api import names
from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.actions import Delete
from manyserve.plan.children.network_policy import build_network_policies
from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.router_pod import build_router_template
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.plan import plan
from manyserve.plan.rules import allocation
from tests.plan.test_plan import KEY, seen
from tests.support import make, world

OPERATOR = {"namespaceSelector": {"matchLabels": {"name": "system"}}, "podSelector": {"matchLabels": {"app": "op"}}}
CLIENT = {"podSelector": {"matchLabels": {"app": "client"}}}
SCRAPER: Manifest = {"namespaceSelector": {}}
ROUTERS = {"podSelector": {"matchLabels": names.router_selector(KEY.name)}}
POLICY = Child("NetworkPolicy", names.network_policy(KEY.name))
ALL = "all"
Opened = dict[int, list[Any]]


def config(**section: Any) -> ServingConfig:
    return make.config(hosts={"networkPolicy": {"enabled": True, "operator": [OPERATOR]} | section})


def policies(serving: ServingConfig, **predictor: Any) -> dict[str, Manifest]:
    built = build_network_policies(make.host(**predictor), serving)
    return {each["metadata"]["name"]: each for each in built}


def opened(policy: Manifest) -> Opened:
    """Return the peers of each port that a policy opens."""
    found: Opened = {}
    for rule in policy["spec"]["ingress"]:
        for port in rule["ports"]:
            found.setdefault(port["port"], []).extend(rule.get("from", [ALL]))
    return found


def test_policies_are_made_only_when_they_are_enabled() -> None:
    assert not policies(make.config())
    assert not policies(config(enabled=False))
    assert list(policies(config())) == ["triton-mms-predictor"]


def test_policy_of_a_homogeneous_host_opens_requests_to_all_and_the_agent_to_the_operator() -> None:
    (policy,) = policies(config()).values()
    assert opened(policy) == {8080: [ALL], 9000: [ALL], 9081: [OPERATOR]}
    assert policy["spec"]["policyTypes"] == ["Ingress"]


def test_policy_opens_requests_and_metrics_to_the_configured_peers() -> None:
    (policy,) = policies(config(**{"from": [CLIENT], "metricsFrom": [SCRAPER]})).values()
    assert opened(policy) == {8080: [CLIENT], 9000: [CLIENT], 9081: [OPERATOR, SCRAPER], 8002: [SCRAPER]}


def test_policy_opens_the_http_port_that_the_server_has() -> None:
    server = {"ports": [{"containerPort": 8085, "name": "http1"}]}
    (policy,) = policies(config(), triton=server).values()
    assert set(opened(policy)) == {8085, 9000, 9081}


def test_policies_of_a_heterogeneous_host_lead_requests_through_its_routers() -> None:
    built = policies(config(**{"from": [CLIENT], "metricsFrom": [SCRAPER]}), allocation=HETEROGENEOUS)
    assert opened(built["triton-mms-predictor"]) == {
        8080: [ROUTERS],
        9000: [ROUTERS],
        9081: [OPERATOR, ROUTERS, SCRAPER],
        8002: [SCRAPER],
    }
    assert opened(built["triton-mms-router"]) == {8080: [CLIENT], 9000: [CLIENT], 9082: [OPERATOR, SCRAPER]}


def test_policies_select_the_pods_of_their_host_and_open_no_port_that_these_lack() -> None:
    serving = config(metricsFrom=[SCRAPER])
    host = make.host(allocation=HETEROGENEOUS)
    templates = (build_pod_template(host, serving), build_router_template(host, serving))
    for policy, template in zip(build_network_policies(host, serving), templates, strict=True):
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        ports = {each["containerPort"] for one in template["spec"]["containers"] for each in one["ports"]}
        assert set(opened(policy)) == ports - {9901}


def settled() -> Observed:
    return world.settle(seen(make.model("cifar10"), config=config(**{"from": [CLIENT]})))


def test_policy_is_a_child_of_the_host_and_settles() -> None:
    observed = settled()
    metadata = observed.children[POLICY]["metadata"]
    assert metadata["labels"] == names.labels(KEY.name)
    assert [each["uid"] for each in metadata["ownerReferences"]] == ["uid-triton-mms"]
    assert plan(observed, make.NOW).empty


def wider_peer(spec: Manifest) -> None:
    spec["ingress"][0]["from"][0]["namespaceSelector"] = {}


def without_peers(spec: Manifest) -> None:
    del spec["ingress"][1]["from"]


def one_more_rule(spec: Manifest) -> None:
    spec["ingress"].append({})


def narrower_selector(spec: Manifest) -> None:
    spec["podSelector"]["matchExpressions"] = [{"key": "none", "operator": "Exists"}]


@pytest.mark.parametrize("change", [wider_peer, without_peers, one_more_rule, narrower_selector])
def test_policy_that_another_writer_changed_is_applied_again(change: Callable[[Manifest], None]) -> None:
    observed = settled()
    changed = deepcopy(observed.children[POLICY])
    change(changed["spec"])
    (apply,) = plan(replace(observed, children={**observed.children, POLICY: changed}), make.NOW).applies
    assert Child(apply.manifest["kind"], apply.manifest["metadata"]["name"]) == POLICY
    assert "spec" in apply.reason or "ingress" in apply.reason


def test_egress_rules_without_their_policy_type_are_no_change() -> None:
    observed = settled()
    changed = deepcopy(observed.children[POLICY])
    changed["spec"]["egress"] = [{}]
    assert plan(replace(observed, children={**observed.children, POLICY: changed}), make.NOW).empty
    changed = deepcopy(changed)
    changed["spec"]["policyTypes"] = ["Ingress", "Egress"]
    (apply,) = plan(replace(observed, children={**observed.children, POLICY: changed}), make.NOW).applies
    assert "policyTypes" in apply.reason


def test_policy_is_deleted_when_it_is_no_longer_enabled() -> None:
    observed = settled()
    assert plan(replace(observed, config=config(enabled=False)), make.NOW).deletes == (
        Delete(POLICY, observed.children[POLICY]["metadata"]["uid"], "no longer desired"),
    )


def test_policy_stays_when_its_setting_is_absent() -> None:
    assert plan(replace(settled(), config=make.config()), make.NOW).deletes == ()


def test_policies_of_a_heterogeneous_host_are_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))
    observed = Observed(KEY, config(), make.host(allocation=HETEROGENEOUS))
    applied = [each.manifest for each in plan(observed, make.NOW).applies]
    found = {each["metadata"]["name"] for each in applied if each["kind"] == "NetworkPolicy"}
    assert found == {"triton-mms-predictor", "triton-mms-router"}
