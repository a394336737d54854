"""Shutdown of a pod: the server drains before it is stopped, within the grace period."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.shutdown import DRAIN_SECONDS, GRACE_SECONDS
from tests.support import make

DRAIN = {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}}


def pod_spec(server: dict[str, Any] | None = None, **predictor: Any) -> dict[str, Any]:
    host = make.host(**predictor, triton=server or {})
    spec: dict[str, Any] = build_pod_template(host, make.config())["spec"]
    return spec


def lifecycle(server: dict[str, Any] | None = None, **predictor: Any) -> Any:
    return pod_spec(server, **predictor)["containers"][0].get("lifecycle")


def test_server_drains_before_it_is_stopped() -> None:
    spec = pod_spec()
    assert spec["containers"][0]["lifecycle"] == DRAIN
    assert spec["terminationGracePeriodSeconds"] == GRACE_SECONDS
    assert "lifecycle" not in spec["containers"][1], "the agent has nothing to drain"


@pytest.mark.parametrize(("grace", "seconds"), [(0, None), (1, None), (2, 1), (12, 6), (30, 10), (600, 10)])
def test_drain_takes_half_of_a_short_grace_period(grace: int, seconds: int | None) -> None:
    spec = pod_spec(terminationGracePeriodSeconds=grace)
    expected = None if seconds is None else {"preStop": {"sleep": {"seconds": seconds}}}
    assert spec["containers"][0].get("lifecycle") == expected
    assert spec["terminationGracePeriodSeconds"] == grace


def test_drain_stays_beside_a_users_start_hook_and_yields_to_a_stop_hook() -> None:
    start, stop = {"exec": {"command": ["warm-up"]}}, {"exec": {"command": ["drain"]}}
    assert lifecycle({"lifecycle": {"postStart": start}}) == DRAIN | {"postStart": start}
    assert lifecycle({"lifecycle": {"preStop": stop}}) == {"preStop": stop}
    assert lifecycle({"lifecycle": {"preStop": None}}) == DRAIN
