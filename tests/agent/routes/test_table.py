"""Route table: states of models as routers see them, their revisions and their JSON."""

from __future__ import annotations

import pytest

from manyserve.agent.reconcile import Observed, OnDisk, ServerModel, ServerState
from manyserve.agent.report import model_report
from manyserve.agent.retry import RetryState, Stage
from manyserve.agent.routes.table import RouteTable, route_states
from manyserve.api.routes import Routes, RouteState, read_routes
from tests.agent.support import entry

A = entry("a")
LOADED = OnDisk(A.digest, loaded=True)
READY = ServerModel(ServerState.READY)


def observed(
    state: ServerState | None = ServerState.READY, disk: OnDisk | None = LOADED, *retries: RetryState
) -> Observed:
    index = None if state is None else {"a": ServerModel(state)}
    return Observed({"a": A}, {"a": disk} if disk else {}, index, dict.fromkeys(["a"], *retries) if retries else {})


def states(snapshot: Observed, before: dict[str, RouteState] | None = None) -> dict[str, RouteState]:
    reports = {name: model_report(name, each, snapshot) for name, each in snapshot.desired.items()}
    return route_states(reports, snapshot, before or {})


@pytest.mark.parametrize(
    ("snapshot", "state"),
    [
        (observed(), RouteState.LOADED),
        (observed(None), RouteState.LOADING),
        (observed(ServerState.ABSENT), RouteState.LOADING),
        (observed(ServerState.LOADING), RouteState.LOADING),
        (observed(disk=None), RouteState.PENDING),
        (observed(disk=OnDisk(A.digest)), RouteState.LOADING),
        (observed(disk=OnDisk("new", kept=A.digest)), RouteState.LOADED),
        (observed(disk=OnDisk("earlier", loaded=True)), RouteState.LOADED),
        (
            observed(ServerState.UNAVAILABLE, OnDisk(A.digest), RetryState(A.digest, failed=Stage.LOAD, failures=1)),
            RouteState.FAILED,
        ),
    ],
)
def test_state_of_a_desired_model(snapshot: Observed, state: RouteState) -> None:
    assert states(snapshot) == {"a": state}


def test_model_stays_loaded_while_the_server_swaps_its_version() -> None:
    swapping = observed(ServerState.LOADING, OnDisk(A.digest, kept="earlier"))
    assert states(swapping, {"a": RouteState.LOADED}) == {"a": RouteState.LOADED}
    assert states(swapping) == {"a": RouteState.LOADING}, "the first load"
    restarted = observed(ServerState.ABSENT, OnDisk(A.digest, kept="earlier"))
    assert states(restarted, {"a": RouteState.LOADED}) == {"a": RouteState.LOADING}, "the server lost it"


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (ServerState.READY, {"a": RouteState.LEAVING}),
        (ServerState.UNLOADING, {"a": RouteState.LEAVING}),
        (ServerState.UNAVAILABLE, {}),
        (ServerState.ABSENT, {}),
    ],
)
def test_model_without_entry_leaves_until_it_is_unloaded(server: ServerState, expected: dict[str, RouteState]) -> None:
    assert states(Observed({}, {"a": LOADED}, {"a": ServerModel(server)})) == expected


def updated(table: RouteTable, snapshot: Observed) -> RouteTable:
    table.update({name: model_report(name, each, snapshot) for name, each in snapshot.desired.items()}, snapshot)
    return table


def test_table_has_no_revision_before_the_index_was_read() -> None:
    table = RouteTable("one")
    assert updated(table, observed(None)).revision == 0
    assert updated(table, observed()).revision == 1
    assert updated(table, observed(None)).revision == 2, "the server does not answer any more"


def test_table_without_config_has_the_models_that_an_earlier_agent_loaded() -> None:
    table = RouteTable("one")
    table.update(None, Observed({}, {}, {"x": READY}))
    assert table.revision == 0
    table.update(None, Observed({}, {"a": LOADED}, {"a": READY, "x": READY}))
    assert read_routes(table.body(0)).models == {"a": RouteState.LOADED}


def test_revision_changes_with_the_states_only() -> None:
    table = RouteTable("one")
    assert [updated(table, each).revision for each in (observed(), observed(), observed(ServerState.ABSENT))] == [
        1,
        1,
        2,
    ]
    assert table.since("a", RouteState.LOADING) == 2
    assert table.since("a", RouteState.LOADED) is None
    assert table.since("b", RouteState.LOADED) is None


def test_revision_of_a_state_stays_while_other_models_change() -> None:
    table = updated(RouteTable("one"), observed())
    updated(table, Observed({"a": A}, {"a": LOADED}, {"a": READY, "b": READY}))
    assert table.revision == 2
    assert table.since("a", RouteState.LOADED) == 1
    assert table.since("b", RouteState.LEAVING) == 2


def test_body_names_models_only_for_a_router_without_the_revision() -> None:
    table = updated(RouteTable("one"), observed())
    assert read_routes(table.body(1)) == Routes("one", 1)
    assert read_routes(table.body(0)) == Routes("one", 1, {"a": RouteState.LOADED})
