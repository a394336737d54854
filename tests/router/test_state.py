"""State of a router: reports become endpoints, acknowledgements become seen revisions, silence drops endpoints."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from manyserve.api.routes import Pod, Routes, RouteState
from manyserve.router.activator import answer, model_of
from manyserve.router.buckets import BUCKETS, RESOURCES, bucket_of
from manyserve.router.state import REMEMBER_SECONDS, SILENCE_SECONDS, RouterState

L, X = RouteState.LOADED, RouteState.LEAVING
P1, P2, P3 = (Pod(uid=f"u{n}", name=f"p{n}", ip=f"10.0.0.{n}", shard=n) for n in (1, 2, 3))


def routes(revision: int, instance: str = "i", **models: RouteState) -> Routes:
    return Routes(instance, revision, models)


def acknowledged(state: RouterState, **but: int) -> Mapping[str, int]:
    """Return the newest version of all resources, except some."""
    return {name: state.routes.versions[int(name[1:])] for name in RESOURCES} | but


def where(state: RouterState, model: str) -> set[str]:
    endpoints = state.routes.endpoints(bucket_of(model))
    return {address for address, models in endpoints.items() if model in models}


def polled(state: RouterState, uid: str, start: int, end: int) -> None:
    """Let an agent answer each second without a change."""
    for now in range(start, end + 1):
        state.report(uid, Routes("i", 1), now)


@pytest.fixture
def state() -> RouterState:
    """Return a state with two pods that have answered."""
    state = RouterState()
    state.set_pods((P1, P2), 0)
    state.report("u1", routes(1, a=L), 0)
    state.report("u2", routes(1, a=L, b=L), 0)
    state.take_changes()
    state.acknowledge(acknowledged(state))
    return state


def test_routes_are_closed_until_each_agent_has_answered() -> None:
    state = RouterState()
    state.check_silence(100)
    assert not state.is_open, "there is no pods.json"
    state.set_pods((P1, P2), 100)
    state.report("u1", routes(1, a=L), 101)
    assert (state.is_open, state.take_changes()) == (False, {})
    state.report("u2", routes(1), 102)
    assert state.is_open
    assert state.take_changes().keys() == set(range(BUCKETS))


def test_silent_agent_does_not_keep_the_routes_closed() -> None:
    state = RouterState()
    state.set_pods((P1, P2), 0)
    state.report("u1", routes(1, a=L), 1)
    polled(state, "u1", 2, int(SILENCE_SECONDS))
    assert not state.is_open
    state.check_silence(SILENCE_SECONDS + 0.1)
    assert state.is_open


def test_routes_stay_closed_while_all_agents_are_silent() -> None:
    state = RouterState()
    state.set_pods((P1, P2), 0)
    state.check_silence(SILENCE_SECONDS + 1)
    assert not state.is_open


def test_host_without_pods_has_open_routes() -> None:
    state = RouterState()
    state.set_pods((), 0)
    assert state.is_open


def test_only_loaded_models_have_endpoints(state: RouterState) -> None:
    state.report("u1", routes(2, **{each.value.lower(): each for each in RouteState}), 1)
    assert {name for name in state.routes.models if where(state, name) == {P1.ip}} == {"loaded"}
    assert where(state, "a") == {P2.ip}


def test_one_model_changes_one_bucket(state: RouterState) -> None:
    state.report("u1", routes(2, a=L, new=L), 1)
    assert state.take_changes() == {bucket_of("new"): 2}
    assert state.take_changes() == {}


def test_revision_is_seen_when_all_its_buckets_are_acknowledged(state: RouterState) -> None:
    old, new = bucket_of("a"), bucket_of("new")
    before = acknowledged(state)
    state.report("u1", routes(2, new=L), 1)
    state.report("u1", routes(3, new=L), 1)
    view = state.views["u1"]
    assert (view.have, view.seen) == (3, 1)
    newest = acknowledged(state)
    assert state.acknowledge({**newest, f"h{old}": before[f"h{old}"]}) == []
    assert state.acknowledge({**newest, f"g{new}": before[f"g{new}"]}) == []
    assert state.acknowledge(newest) == ["u1"]
    assert view.seen == 3, "revision 3 changes no bucket"


def test_revision_without_a_change_is_seen_at_once_unless_an_earlier_one_waits(state: RouterState) -> None:
    state.report("u1", routes(2, a=L, other=RouteState.LOADING), 1)
    assert state.views["u1"].seen == 2
    state.report("u1", routes(3, other=L), 1)
    state.report("u1", routes(4, other=L, more=RouteState.LOADING), 1)
    assert state.views["u1"].seen == 2


def test_new_instance_of_an_agent_has_seen_nothing(state: RouterState) -> None:
    state.report("u1", routes(1, "next", a=L, b=L), 1)
    assert (state.views["u1"].instance, state.views["u1"].seen) == ("next", 0)
    state.acknowledge(acknowledged(state))
    assert state.views["u1"].seen == 1


def test_readiness_needs_an_acknowledgement_of_each_resource(state: RouterState) -> None:
    assert state.is_acknowledged
    state.acknowledge(acknowledged(state, g63=0))
    assert not state.is_acknowledged
    state.acknowledge({})
    assert not state.is_acknowledged, "no stream"


def test_silent_agent_loses_its_endpoints_and_gets_them_back(state: RouterState) -> None:
    polled(state, "u2", 1, 5)
    assert where(state, "a") == {P1.ip, P2.ip}
    polled(state, "u2", 6, 6)
    assert where(state, "a") == {P2.ip}
    polled(state, "u1", 7, 7)
    assert where(state, "a") == {P1.ip, P2.ip}


@pytest.mark.parametrize("apart", [0, 1, 2])
def test_routes_stay_while_the_router_is_isolated(state: RouterState, apart: int) -> None:
    """The last answers of the two agents may be as far apart as a poll takes."""
    polled(state, "u2", 1, apart)
    for tenth in range(10 * apart, 600):
        state.check_silence(tenth / 10)
        assert where(state, "a") == {P1.ip, P2.ip}, tenth / 10
    polled(state, "u1", 60, 64)
    assert where(state, "b") == {P2.ip}, "the other one has the time of silence again"
    polled(state, "u1", 65, 66)
    assert (where(state, "a"), where(state, "b")) == ({P1.ip}, set())


def test_pod_that_is_gone_has_no_endpoints(state: RouterState) -> None:
    state.set_pods((P2, P3), 1)
    assert where(state, "a") == {P2.ip}
    assert state.views.keys() == {"u2", "u3"}


def test_pod_with_another_address_is_a_new_one(state: RouterState) -> None:
    state.set_pods((P1.model_copy(update={"ip": "10.9.9.9"}), P2), 1)
    assert where(state, "a") == {P2.ip}
    state.report("u1", routes(1, a=L), 2)
    assert where(state, "a") == {P2.ip, "10.9.9.9"}


def test_model_is_unknown_when_no_agent_names_it_for_a_time(state: RouterState) -> None:
    assert state.is_unknown("other", 1)
    assert not state.is_unknown("b", 1)
    state.report("u1", routes(2), 1)
    state.report("u2", routes(2, a=L), 1)
    assert not state.is_unknown("b", 1)
    for time in range(2, int(REMEMBER_SECONDS) + 2):
        assert not state.is_unknown("b", 0.9 + time - 1)
        for uid in ("u1", "u2"):
            state.report(uid, Routes("i", 2), time)
    assert state.is_unknown("b", 1 + REMEMBER_SECONDS)


def test_no_model_is_unknown_while_an_agent_is_silent(state: RouterState) -> None:
    state.report("u1", Routes("i", 1), 10)
    assert not state.is_unknown("other", 10)
    state.report("u2", Routes("i", 1), 10)
    assert state.is_unknown("other", 10)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v2/models/a/infer", "a"),
        ("/v1/models/a:predict", "a"),
        ("/v1/models/a", "a"),
        ("/v2/models/", ""),
        ("/v2/health/live", ""),
    ],
)
def test_model_of_a_path(path: str, model: str) -> None:
    assert model_of(path) == model


def test_best_state_of_a_model_decides_the_sentence(state: RouterState) -> None:
    state.report("u1", routes(2, m=RouteState.FAILED), 1)
    assert answer("m", state, 1).sentence.startswith("the model m could not be loaded")
    state.report("u2", routes(2, m=RouteState.LOADING), 1)
    assert (answer("m", state, 1).status, answer("m", state, 1).sentence) == (503, "the model m is being loaded")
