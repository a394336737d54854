"""Strategy of the Deployment."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.deploymentstrategy import DeploymentStrategy
from manyserve.plan.children.strategy import build_strategy, replaces_side_by_side

ROLLING: dict[str, Any] = {"type": "RollingUpdate"}


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        (None, {"maxUnavailable": 0, "maxSurge": "25%"}),
        ({}, {"maxUnavailable": 0, "maxSurge": "25%"}),
        (ROLLING | {"rollingUpdate": {}}, {"maxUnavailable": 0, "maxSurge": "25%"}),
        ({"rollingUpdate": {"maxSurge": 0}}, {"maxUnavailable": 1, "maxSurge": 0}),
        ({"rollingUpdate": {"maxSurge": "0%"}}, {"maxUnavailable": 1, "maxSurge": "0%"}),
        ({"rollingUpdate": {"maxUnavailable": "50%"}}, {"maxUnavailable": "50%", "maxSurge": "25%"}),
        ({"rollingUpdate": {"maxUnavailable": 2, "maxSurge": 0}}, {"maxUnavailable": 2, "maxSurge": 0}),
    ],
    ids=str,
)
def test_strategy_fills_in_the_bounds_that_the_user_leaves_out(given: Any, bounds: Any) -> None:
    strategy = DeploymentStrategy.from_wire(given) if given is not None else None
    assert build_strategy(strategy) == ROLLING | {"rollingUpdate": bounds}


def test_strategy_recreate_has_no_bounds() -> None:
    assert build_strategy(DeploymentStrategy(type="Recreate")) == {"type": "Recreate"}


def test_strategy_side_by_side_is_false_when_an_old_pod_may_end_first() -> None:
    def side_by_side(strategy: Any, replicas: int = 1) -> bool:
        return replaces_side_by_side({"spec": {"strategy": strategy, "replicas": replicas}})

    assert side_by_side(build_strategy(None))
    assert not side_by_side({"type": "Recreate"})
    assert not side_by_side(ROLLING | {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}})
    half = ROLLING | {"rollingUpdate": {"maxUnavailable": "50%", "maxSurge": 1}}
    assert side_by_side(half, 1)
    assert not side_by_side(half, 2)
