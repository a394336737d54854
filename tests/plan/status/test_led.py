"""Readiness of models by the routers of their host: each ready router leads requests to a model, or it is not ready."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from manyserve.api import conditions
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel, placed_by
from manyserve.plan.observed import Observed
from manyserve.plan.plan import plan
from manyserve.plan.status.led import led_models
from tests.support import make, sharded, world

NONE: frozenset[str] = frozenset()


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    with sharded.served():
        yield


@pytest.fixture
def settled() -> Observed:
    return sharded.settled(sharded.model("a", 2), sharded.model("b"))


def ready(observed: Observed) -> dict[str, tuple[str, str | None]]:
    after = world.carry_out(observed, plan(observed, make.NOW))
    found = {each.metadata.name: conditions.find(each.status.conditions, conditions.READY) for each in after.models}
    return {name: (each.status, each.message) for name, each in found.items() if each is not None}


def with_router(observed: Observed, number: int, *, is_ready: bool = True, models: frozenset[str] | None) -> Observed:
    """Return the snapshot with another state of one router; `models` is None for a program without a report."""
    name = f"router-{number}"
    pods = tuple(
        each | {"status": make.pod(ready=is_ready)["status"]} if each["metadata"]["name"] == name else each
        for each in observed.router_pods
    )
    reports = {uid: each for uid, each in observed.router_reports.items() if uid != f"uid-{name}"}
    if models is not None:
        reports[f"uid-{name}"] = observed.router_reports[f"uid-{name}"].model_copy(update={"models": models})
    return replace(observed, router_pods=pods, router_reports=reports)


def test_routers_of_a_homogeneous_host_are_not_asked() -> None:
    host = make.host()
    assert led_models(host, Observed(Key("default", "triton-mms"), make.config(), host)) is None


def test_model_is_ready_when_each_ready_router_leads_to_it(settled: Observed) -> None:
    assert ready(settled) == dict.fromkeys("ab", ("True", None))
    behind = with_router(settled, 2, models=frozenset({"b"}))
    assert ready(behind) == {
        "a": ("False", "loaded on 2 of 2 copies; not all routers lead requests to it yet"),
        "b": ("True", None),
    }


@pytest.mark.parametrize("fields", [{"is_ready": False, "models": NONE}, {"models": None}], ids=["unready", "silent"])
def test_router_that_does_not_count_leaves_models_ready(settled: Observed, fields: dict[str, bool]) -> None:
    assert plan(with_router(settled, 2, **fields), make.NOW).empty  # type: ignore[arg-type]


def test_models_stay_ready_while_the_programs_of_all_routers_restart(settled: Observed) -> None:
    silent = with_router(with_router(settled, 1, models=None), 2, models=None)
    starting = sharded.with_routers(settled, ready=False, problem="the agents have not answered yet", models=NONE)
    assert plan(silent, make.NOW).empty
    assert plan(starting, make.NOW).empty


def test_new_model_waits_while_the_programs_of_all_routers_restart(settled: Observed) -> None:
    grown = sharded.settled(*settled.models, sharded.model("c"))
    without = [each.model_copy(update={"status": make.model().status}) for each in grown.models[2:]]
    starting = sharded.with_routers(replace(grown, models=(*grown.models[:2], *without)), ready=False)
    assert {name: status for name, (status, _) in ready(starting).items()} == {"a": "True", "b": "True", "c": "False"}


def test_models_without_a_ready_router_are_not_ready(settled: Observed) -> None:
    unready = with_router(with_router(settled, 1, is_ready=False, models=None), 2, is_ready=False, models=None)
    assert {status for status, _ in ready(unready).values()} == {"False"}
    assert {status for status, _ in ready(replace(unready, router_pods=())).values()} == {"False"}


def test_model_of_another_host_is_not_led_before_a_router_says_so(settled: Observed) -> None:
    def moved(model: TrainedModel) -> TrainedModel:
        status = model.status.model_copy(update={"placed_by": placed_by("other", "uid-other")})
        return model.model_copy(update={"status": status})

    starting = sharded.with_routers(settled, ready=False)
    assert settled.host is not None
    assert led_models(settled.host, starting) == {"a", "b"}
    assert led_models(settled.host, replace(starting, models=tuple(map(moved, settled.models)))) == NONE
