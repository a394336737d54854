"""Rules of the proxy: matches, limits and chance."""

from __future__ import annotations

import random

import pytest

from tests.faults.exchange import verb_of
from tests.faults.rules import Rule, refuse

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("method", "path", "watch", "verb"),
    [
        ("GET", CONFIG_MAPS, False, "list"),
        ("GET", "/apis/serving.kserve.io/v1alpha1/trainedmodels", False, "list"),
        ("GET", CONFIG_MAPS, True, "watch"),
        ("GET", f"{CONFIG_MAPS}/one", False, "get"),
        ("GET", "/apis/serving.kserve.io/v1alpha1", False, "get"),
        ("PUT", f"{CONFIG_MAPS}/one", False, "update"),
        ("PATCH", "/apis/serving.kserve.io/v1alpha1/namespaces/default/trainedmodels/m/status", False, "patch"),
    ],
)
def test_exchange_verbs_are_those_of_api_server(method: str, path: str, watch: bool, verb: str) -> None:
    assert verb_of(method, path, watch=watch) == verb


def test_rule_matches_its_verbs_paths_and_clients_only() -> None:
    rule = Rule(refuse, "refused", verbs=("list",), path="/configmaps", client="second")
    assert rule.acts("list", CONFIG_MAPS, "second")
    assert not rule.acts("watch", CONFIG_MAPS, "second")
    assert not rule.acts("list", "/api/v1/pods", "second")
    assert not rule.acts("list", CONFIG_MAPS, "operator")


def test_rule_passes_first_requests_and_stops_after_last() -> None:
    rule = Rule(refuse, "refused", first=3, count=2)
    assert [rule.acts("get", "/", "") for _ in range(6)] == [False, False, True, True, False, False]


def test_rule_by_chance_is_reproducible_with_seed() -> None:
    rules = [Rule(refuse, "refused", chance=0.5, dice=random.Random(7)) for _ in range(2)]
    first, second = ([rule.acts("get", "/", "") for _ in range(50)] for rule in rules)
    assert first == second
    assert 10 < sum(first) < 40
