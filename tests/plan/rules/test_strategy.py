"""Rules for `spec.predictor.deploymentStrategy`."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.rules.strategy import COUNT_SENTENCE
from manyserve.plan.rules.validation import host_problems
from tests.plan.rules.paths import host_with, sentences

PATH = "spec.predictor.deploymentStrategy"
ACCEPTED: tuple[Any, ...] = (
    {},
    {"type": "Recreate"},
    {"type": "RollingUpdate"},
    {"rollingUpdate": {"maxSurge": 0}},
    {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "150%", "maxUnavailable": 0}},
    {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "100%"}},
)
REFUSED: dict[str, tuple[Any, str]] = {
    "another type": ({"type": "OnDelete"}, ".type: 'OnDelete' is not supported; it must be RollingUpdate or Recreate"),
    "bounds of Recreate": (
        {"type": "Recreate", "rollingUpdate": {}},
        ".rollingUpdate: must be left out with type Recreate",
    ),
    "negative": (
        {"rollingUpdate": {"maxSurge": -1}},
        f".rollingUpdate.maxSurge: -1 is not allowed; {COUNT_SENTENCE}",
    ),
    "a word": (
        {"rollingUpdate": {"maxUnavailable": "half"}},
        f".rollingUpdate.maxUnavailable: 'half' is not allowed; {COUNT_SENTENCE}",
    ),
    "a number as text": (
        {"rollingUpdate": {"maxSurge": "1"}},
        f".rollingUpdate.maxSurge: '1' is not allowed; {COUNT_SENTENCE}",
    ),
    "more than all": (
        {"rollingUpdate": {"maxUnavailable": "101%"}},
        ".rollingUpdate.maxUnavailable: '101%' is not allowed; it must be at most 100%",
    ),
    "both zero": (
        {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 0}},
        ".rollingUpdate: maxUnavailable and maxSurge are both 0; one of them must be above 0, "
        "or no pod can be replaced",
    ),
    "an unknown field": (
        {"maxSurge": 1},
        ".maxSurge: is not a field that manyserve knows; it must be left out, or be one that kubectl explain lists",
    ),
}


@pytest.mark.parametrize("strategy", ACCEPTED, ids=str)
def test_strategy_rules_accept_what_kubernetes_accepts(strategy: Any) -> None:
    assert host_problems(host_with(PATH, strategy)) == []


@pytest.mark.parametrize(("strategy", "sentence"), REFUSED.values(), ids=REFUSED)
def test_strategy_rules_refuse_what_kubernetes_refuses(strategy: Any, sentence: str) -> None:
    assert sentences(host_problems(host_with(PATH, strategy))) == [f"{PATH}{sentence}"]
