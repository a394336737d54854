"""Shutdown of a pod: the server pauses before it is stopped, within the grace period."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.shutdown import GRACE_SECONDS, PRE_STOP_SECONDS
from tests.support import make

PAUSE = {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}}


def pod_spec(server: dict[str, Any] | None = None, **predictor: Any) -> dict[str, Any]:
    host = make.host(**predictor, triton=server or {})
    spec: dict[str, Any] = build_pod_template(host, make.config())["spec"]
    return spec


def lifecycle(server: dict[str, Any] | None = None, **predictor: Any) -> Any:
    return pod_spec(server, **predictor)["containers"][0].get("lifecycle")


def test_server_pauses_before_it_is_stopped() -> None:
    spec = pod_spec()
    assert spec["containers"][0]["lifecycle"] == PAUSE
    assert spec["terminationGracePeriodSeconds"] == GRACE_SECONDS
    assert "lifecycle" not in spec["containers"][1], "requests do not go to the agent"


@pytest.mark.parametrize(("grace", "seconds"), [(0, None), (1, None), (2, 1), (12, 6), (30, 10), (600, 10)])
def test_pause_takes_half_of_a_short_grace_period(grace: int, seconds: int | None) -> None:
    spec = pod_spec(terminationGracePeriodSeconds=grace)
    expected = None if seconds is None else {"preStop": {"sleep": {"seconds": seconds}}}
    assert spec["containers"][0].get("lifecycle") == expected
    assert spec["terminationGracePeriodSeconds"] == grace


def test_pause_stays_beside_a_users_start_hook_and_yields_to_a_stop_hook() -> None:
    start, stop = {"exec": {"command": ["warm-up"]}}, {"exec": {"command": ["drain"]}}
    assert lifecycle({"lifecycle": {"postStart": start}}) == PAUSE | {"postStart": start}
    assert lifecycle({"lifecycle": {"preStop": stop}}) == {"preStop": stop}
    assert lifecycle({"lifecycle": {"preStop": None}}) == PAUSE
