"""Routers of a snapshot: the models that they lead, and the patches for their `pods.json`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.modelconfig import content_hash
from manyserve.api.names import CONFIG_HASH, Key
from manyserve.api.routerreport import RouterReport
from manyserve.plan.children.routers import pods_json
from manyserve.plan.observed import Observed
from manyserve.plan.plan import plan
from manyserve.plan.routers import led_by_all, routers_of
from manyserve.plan.rules import allocation
from tests.support import make, world


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))


def report(*models: str, **fields: Any) -> RouterReport:
    return RouterReport.from_wire({"instance": "i", "revision": 1, "ready": True, "models": models} | fields)


def led(reports: dict[str, RouterReport], *unready: str) -> set[str]:
    pods = [make.pod(name, ready=name not in unready) for name in ("a", "b")]
    routers = routers_of(pods, {f"uid-{name}": each for name, each in reports.items()})
    return set(led_by_all(routers))


def test_models_are_led_by_all_ready_routers() -> None:
    both = {"a": report("x", "y"), "b": report("y", "z")}
    assert led(both) == {"y"}
    assert led(both, "b") == {"x", "y"}
    assert led({"a": report("x")}) == {"x"}, "the silent one is left out"
    assert led({}) == set()
    assert led(both, "a", "b") == set()


def test_router_in_deletion_leads_no_model() -> None:
    pod = make.pod("a")
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert routers_of([pod], {"uid-a": report("x")}) == ()


def heterogeneous(**fields: Any) -> Observed:
    seen = Observed(Key("default", "triton-mms"), make.config(), make.host(allocation=HETEROGENEOUS))
    return replace(seen, router_pods=(make.pod("r"),), router_reports={"uid-r": report(**fields)})


def test_router_with_an_older_pods_json_is_patched() -> None:
    wanted = content_hash(pods_json(()))
    assert plan(heterogeneous(pods=wanted), make.NOW).config_refreshes == ()
    (patch,) = plan(heterogeneous(pods="older"), make.NOW).config_refreshes
    assert (patch.pod, patch.config_hash.split(".")[:2]) == ("r", [wanted, "1"])
    assert plan(heterogeneous(pods="older"), make.NOW).requeue_after == 1.0


def test_patched_router_is_patched_again_only_after_a_pause() -> None:
    seen = heterogeneous(pods="older")
    (patch,) = plan(seen, make.NOW).config_refreshes
    patched = replace(seen, router_pods=(make.pod("r", annotations={CONFIG_HASH: patch.config_hash}),))
    assert plan(patched, make.NOW).config_refreshes == ()


def test_router_that_cannot_use_its_pods_json_is_not_patched() -> None:
    assert plan(heterogeneous(pods="older", podsError="cannot be used"), make.NOW).config_refreshes == ()


def test_routers_of_a_homogeneous_host_are_not_patched() -> None:
    seen = replace(heterogeneous(pods="older"), host=make.host())
    assert world.carry_out(seen, plan(seen, make.NOW))
    assert plan(seen, make.NOW).config_refreshes == ()
