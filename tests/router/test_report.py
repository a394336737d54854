"""Report of a router with a real Envoy: the models that it leads, and a program that starts after a broken stop."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.router.admin import EnvoyAdmin
from tests.router.rig import LIMIT, POLL, Rig
from tests.support.eventually import eventually

pytestmark = pytest.mark.router


async def poll(rig: Rig, last: dict[str, Any]) -> dict[str, Any]:
    params = {"after": str(last["revision"]), "instance": last["instance"], "wait": "5"}
    async with rig.http.get(f"{rig.router.api}/status", params=params) as answer:
        report: dict[str, Any] = await answer.json()
    return report


async def test_report_names_a_model_only_when_it_answers_through_the_router(rig: Rig) -> None:
    report = await rig.status()
    assert (report["ready"], report["models"]) == (True, ["a", "b", "both", "c"])
    rig.pods[0].load("d")
    while "d" not in report["models"]:
        report = await poll(rig, report)
    assert await rig.infer("d") == 200
    await rig.pods[0].unload("d")
    while "d" in report["models"]:
        report = await poll(rig, report)
    assert await rig.infer("d") == 503


async def test_program_that_starts_makes_its_envoy_ready_again(rig: Rig) -> None:
    """As after a liveness probe that killed the program at the begin of its stop."""
    admin = EnvoyAdmin(rig.router.folder / "admin.sock")
    assert await admin.fail_health_check()
    await admin.close()
    assert await rig.readiness(rig.router) == 503
    await rig.router.kill("program")
    await rig.router.start_program()
    await eventually(lambda: is_ready(rig), "the router is ready again", LIMIT, POLL)


async def is_ready(rig: Rig) -> bool:
    return await rig.readiness(rig.router) == 200
