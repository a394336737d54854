"""Wire format between agents and routers: good and bad input of each reader."""

from __future__ import annotations

import json

import pytest

from manyserve.api.modelconfig import MAX_ENTRIES
from manyserve.api.routes import MAX_PODS, Routes, RouteState, Traffic, read_pods, read_routes

POD = {"uid": "u1", "name": "h-predictor-s0-x", "ip": "10.0.0.1", "shard": 0}


def test_routes_are_read_as_written() -> None:
    for routes in (Routes("i", 3), Routes("i", 3, {}), Routes("i", 3, {"a": RouteState.LOADED})):
        assert read_routes(routes.to_json()) == routes


def test_unknown_state_is_not_routed() -> None:
    assert read_routes(b'{"instance":"i","revision":1,"models":{"a":"Soon","b":7}}').models == {
        "a": RouteState.PENDING,
        "b": RouteState.PENDING,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"instance": ""},
        {"instance": 5},
        {"instance": "x" * 200},
        {"revision": 0},
        {"revision": "1"},
        {"revision": 2**63},
        {"models": []},
        {"models": {"A": "Loaded"}},
        {"models": {"a/b": "Loaded"}},
        {"models": {"a" * 254: "Loaded"}},
        {"models": {"": "Loaded"}},
        {"models": {f"m{number}": "Loaded" for number in range(MAX_ENTRIES + 1)}},
    ],
)
def test_other_routes_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|no name"):
        read_routes(json.dumps({"instance": "i", "revision": 1} | change).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"[" * 10_000])
def test_routes_that_are_no_object_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the messages are those of the parser
        read_routes(body)


def test_pods_are_read() -> None:
    (pod,) = read_pods(json.dumps([POD]).encode())
    assert (pod.uid, pod.ip, pod.shard) == ("u1", "10.0.0.1", 0)
    assert read_pods(b"[]") == ()
    assert read_pods(json.dumps([POD | {"ip": "fd00:0::1"}]).encode())[0].ip == "fd00::1"


@pytest.mark.parametrize(
    "pods",
    [
        [POD | {"ip": "not-an-address"}],
        [POD | {"ip": "10.0.0.1:8080"}],
        [POD | {"shard": -1}],
        [POD | {"uid": ""}],
        [POD, POD | {"ip": "10.0.0.2"}],
        [POD, POD | {"uid": "u2"}],
        [POD | {"uid": f"u{number}", "ip": f"10.0.{number // 250}.{number % 250}"} for number in range(MAX_PODS + 1)],
        {"pods": []},
    ],
)
def test_other_pods_are_refused(pods: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the messages are those of pydantic
        read_pods(json.dumps(pods).encode())


def test_counters_below_0_are_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Traffic.model_validate({"instance": "i", "counted": True, "models": {"a": {"requests": -1, "busyMicros": 0}}})
